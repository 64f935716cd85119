"""How many processes a program starts while it is watched: they are not watched, and that is said.

Forks are counted by ``os.register_at_fork``. Programs that are executed are started, in the end, by one of a few functions,
which are wrapped while a watch lasts: the wrapper counts and calls.
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
    ("_posixsubprocess", "fork_exec"),  # the same, as the spawn and forkserver methods of multiprocessing call it
    ("os", "posix_spawn"),
    ("os", "posix_spawnp"),
)


class Children:
    """The children of one watch."""

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
                if getattr(owner, name) is wrapper:  # else somebody has wrapped it again: theirs calls ours
                    setattr(owner, name, original)


_counting: list[Children] = []
_wrapped: list[tuple[Any, str, Any, Any]] = []


def _born() -> None:
    for children in _counting:
        children.count += 1


def _wrap(module: str, name: str) -> None:
    if module == "subprocess" and module not in sys.modules:
        return  # when it is imported it will take the wrapped one of _posixsubprocess
    try:
        owner = importlib.import_module(module)
        original = getattr(owner, name)
    except (ImportError, AttributeError):
        return  # not on this system
    wrapper = _counted(original)
    setattr(owner, name, wrapper)
    _wrapped.append((owner, name, original, wrapper))


def _counted(start: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(start)
    def starts(*arguments: Any, **keywords: Any) -> Any:
        before = [children.count for children in _counting]
        started = start(*arguments, **keywords)
        # A `preexec_fn` makes it an ordinary fork, which has been counted as one.
        if before == [children.count for children in _counting]:
            _born()
        return started

    return starts


os.register_at_fork(after_in_parent=_born)
