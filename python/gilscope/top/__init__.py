"""A live view of a running process: a model of its last minute, and what a terminal shows of that."""
