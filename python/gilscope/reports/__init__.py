"""Each report is a pure function of a frozen result."""
