"""Run something in a supervised process of its own."""
