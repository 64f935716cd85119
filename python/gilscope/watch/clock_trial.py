"""Finds out whether a loop's own clock runs as fast as time does.

A clock that only begins elsewhere does, such as rloop's. A test's fake clock does not: its timers say nothing about the lag.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from gilscope._core import monotonic

if TYPE_CHECKING:
    import asyncio

MAX_CLOCK_DIFFERENCE = 1.0
"""A clock that differs from the monotonic clock by at most this many seconds is taken for that one."""
MAX_RATE_DIFFERENCE = 0.5
MAX_ERROR = 0.001
"""Seconds between two readings that belong to one moment."""
MAX_FAILURES = 3
_true: weakref.WeakSet[type] = weakref.WeakSet()
"""Classes of loops whose clock runs as fast as time does."""


class ClockTrial:
    """Compares a loop's clock with the system's, from beat to beat."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._before = self._now()
        self._failures = 0

    @property
    def has_failed(self) -> bool:
        """Whether the clock has differed so often that it is a fake one."""
        return self._failures >= MAX_FAILURES

    def passes(self) -> bool:
        """Return whether the clock has run as fast as time since this was last asked, or since the trial began."""
        before, self._before = self._before, self._now()
        by_loop, by_system = (end - start for start, end in zip(before, self._before, strict=True))
        if abs(by_loop - by_system) > MAX_RATE_DIFFERENCE * by_system + MAX_ERROR:
            self._failures += 1
            return False
        _true.add(type(self._loop))
        return True

    def _now(self) -> tuple[float, float]:
        return self._loop.time(), monotonic()


def trial_of(loop: asyncio.AbstractEventLoop) -> ClockTrial | None:
    """Return a trial for the loop's clock; ``None`` if it is known to run as fast as time does."""
    if type(loop) in _true or abs(loop.time() - monotonic()) <= MAX_CLOCK_DIFFERENCE:
        return None
    return ClockTrial(loop)
