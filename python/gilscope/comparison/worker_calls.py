"""What a round trip has a worker call. Imports nothing, because every worker of every strategy imports this module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_kept: list[Any] = []


def empty() -> None:
    """Do nothing."""


def receive(function: Callable[..., Any], *args: Any) -> None:
    """Do nothing with the function and its arguments: they have arrived in the worker."""


def compute_and_keep(function: Callable[..., Any], *args: Any) -> None:
    """Call the function, and keep its result in the worker."""
    _kept[:] = [function(*args)]


def kept(*args: Any) -> Any:  # noqa: ARG001 - they are sent to the worker, as for a real call
    """Return the result that was kept. Raise ``LookupError`` if this worker has none."""
    if not _kept:
        raise LookupError("this worker has kept no result")
    return _kept[0]
