"""Threads that run, start, end, recurse, raise, import and fork, and whether a stack of theirs is possible."""
