"""What a probe has a worker do. Imports nothing, since every worker of every strategy imports it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_remembered: list[Any] = []


def nothing() -> None:
    """Do nothing: what is left is the hand-over."""


def arrive(function: Callable[..., Any], *args: Any) -> None:
    """Do nothing with what came: that it came is the point."""


def remember(function: Callable[..., Any], *args: Any) -> None:
    """Call it and keep its result."""
    _remembered[:] = [function(*args)]


def recall(*args: Any) -> Any:  # noqa: ARG001 - that they came is the point
    """Return the result that was kept, having taken the arguments. ``LookupError`` where none was."""
    if not _remembered:
        raise LookupError("this worker has nothing to recall")
    return _remembered[0]
