"""Counts the processes that a program starts while it is watched. They are not watched, and reports say how many there were.

Forks are counted by ``os.register_at_fork``. Other programs are all started by one of a few functions. While a watch lasts,
these functions are wrapped: the wrapper counts, and calls the function.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

STARTERS = (
    ("subprocess", "_fork_exec"),
    ("_posixsubprocess", "fork_exec"),  # the same; multiprocessing calls it directly, to spawn or start a forkserver
    ("os", "posix_spawn"),
    ("os", "posix_spawnp"),
)


class Children:
    """Counts the child processes of one watch."""

    def __init__(self) -> None:
        self.count = 0

    def start(self) -> None:
        _counting.append(self)
        if len(_counting) == 1:
            for module, name in STARTERS:
                _wrap(module, name)

    def stop(self) -> None:
        if self in _counting:
            _counting.remove(self)
        if not _counting:
            while _wrapped:
                owner, name, original, wrapper = _wrapped.pop()
                if getattr(owner, name) is wrapper:  # otherwise another wrapper is around ours, and calls it
                    setattr(owner, name, original)


_counting: list[Children] = []
_wrapped: list[tuple[Any, str, Any, Any]] = []


def _count() -> None:
    for children in _counting:
        children.count += 1


def _wrap(module: str, name: str) -> None:
    if module == "subprocess" and module not in sys.modules:
        return  # when it is imported, it will import the wrapped function of _posixsubprocess
    try:
        owner = importlib.import_module(module)
        original = getattr(owner, name)
    except (ImportError, AttributeError):
        return  # this system does not have it
    wrapper = _counted(original)
    setattr(owner, name, wrapper)
    _wrapped.append((owner, name, original, wrapper))


def _counted(start: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(start)
    def counts_and_starts(*arguments: Any, **keywords: Any) -> Any:
        before = [children.count for children in _counting]
        started = start(*arguments, **keywords)
        # With a `preexec_fn` it is an ordinary fork, which has been counted already.
        if before == [children.count for children in _counting]:
            _count()
        return started

    return counts_and_starts


os.register_at_fork(after_in_parent=_count)
