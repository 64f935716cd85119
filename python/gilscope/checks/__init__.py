"""One callable: how its samples become shares of a call's time, and the shares a verdict."""
