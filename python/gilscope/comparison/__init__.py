"""One callable under every strategy: does it travel, what does it cost, where should it run."""
