"""Counts the processes that a program starts while it is watched. They are not watched, and reports say how many there were.

Forks are counted by ``os.register_at_fork``. Other programs are all started by one of a few functions. While a watch lasts,
a native function stands in the place of each: it has no frame, so the program's tracebacks stay as they are.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gilscope._core import CallFirst

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STARTERS = (
    ("_posixsubprocess", "fork_exec", ("subprocess", "_fork_exec")),  # multiprocessing calls the first directly
    ("posix", "posix_spawn", ("os", "posix_spawn")),
    ("posix", "posix_spawnp", ("os", "posix_spawnp")),
    ("posix", "system", ("os", "system")),
)
"""For each function: the module that defines it, its name, and where else it is found."""


class Children:
    """Counts the child processes of one watch, and calls ``counted`` for each."""

    def __init__(self, counted: Callable[[], object] | None = None) -> None:
        self.count = 0
        self._counted = counted

    def add(self) -> None:
        self.count += 1
        if self._counted:
            self._counted()

    def start(self) -> None:
        _counting.append(self)
        if len(_counting) == 1:
            for module, name, elsewhere in STARTERS:
                _stand_in(module, name, elsewhere)

    def stop(self) -> None:
        if self in _counting:
            _counting.remove(self)
        if not _counting:
            while _replaced:
                owner, name, original, stand_in = _replaced.pop()
                if getattr(owner, name) is stand_in:  # otherwise a wrapper of the program's has it, and calls it
                    setattr(owner, name, original)


class _Started(threading.local):
    """How many child processes the calling thread has started, and whether they are gilscope's own for now."""

    number = 0
    are_ours = False


_counting: list[Children] = []
_replaced: list[tuple[Any, str, Any, CallFirst]] = []
_started = _Started()


def _stand_in(module: str, name: str, elsewhere: tuple[str, str]) -> None:
    original = getattr(importlib.import_module(module), name, None)
    if original is None:
        return  # this system does not have it
    stand_in = CallFirst(original, _so_far, _count_once)
    for place, as_name in ((module, name), elsewhere):
        owner = sys.modules.get(place)  # what is imported later imports the one that stands in
        if getattr(owner, as_name, None) is original:
            setattr(owner, as_name, stand_in)
            _replaced.append((owner, as_name, original, stand_in))


def _so_far(*_: object, **__: object) -> int:
    return _started.number


def _count_once(before: int) -> None:
    """Count a program that was started, unless it has been counted as the fork that starts one with a ``preexec_fn``."""
    if _started.number == before:
        _count()


def _count() -> None:
    _started.number += 1
    for children in () if _started.are_ours else _counting:
        children.add()


@contextmanager
def uncounted() -> Iterator[None]:
    """Do not count the processes that the calling thread starts: they are gilscope's own."""
    _started.are_ours = True
    try:
        yield
    finally:
        _started.are_ours = False


os.register_at_fork(after_in_parent=_count)
