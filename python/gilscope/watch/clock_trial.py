"""Finds out whether a loop's own clock runs as fast as time does.

A clock that only begins elsewhere does, such as rloop's. A test's fake clock does not: its timers say nothing about the lag.
"""

from __future__ import annotations

import contextvars
import threading
import weakref
from typing import TYPE_CHECKING

from gilscope._core import monotonic

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

MAX_CLOCK_DIFFERENCE = 1.0
"""A clock that differs from the monotonic clock by at most this many seconds is taken for that one."""
MAX_RATE_DIFFERENCE = 0.5
MAX_ERROR = 0.005
"""Seconds between two readings that belong to one moment."""
_true: weakref.WeakSet[type] = weakref.WeakSet()
"""Classes of loops whose clock runs as fast as time does."""


class ClockTrial:
    """Compares two intervals between callbacks of a loop with its own clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, passed: Callable[[], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._passed = passed
        self._context = contextvars.Context()  # not the user's variables
        self._ident = threading.get_ident()
        self._alive = True
        self._began: tuple[float, float] | None = None
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._handle = self._loop.call_later(self._seconds, self._tick, context=self._context)

    def stop(self) -> None:
        self._alive = False
        if self._handle and self._ident == threading.get_ident():  # only the loop's own thread may change the loop
            self._handle.cancel()

    def _tick(self) -> None:
        if not self._alive:
            return
        now = self._loop.time(), monotonic()
        if self._began is None:
            self._began = now
            self.start()
            return
        by_loop, by_system = (end - start for start, end in zip(self._began, now, strict=True))
        if abs(by_loop - by_system) <= MAX_RATE_DIFFERENCE * by_system + MAX_ERROR:
            _true.add(type(self._loop))
            self._passed()


def is_needed(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether the loop has a clock that may not run as fast as time does."""
    return type(loop) not in _true and abs(loop.time() - monotonic()) > MAX_CLOCK_DIFFERENCE
