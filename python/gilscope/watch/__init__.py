"""A running program: its loops, their stalls, the causes, the lines."""
