"""Another process, read from outside: which processes can be read, and what one of them does."""
