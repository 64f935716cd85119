"""How late the event loop runs.

A tick is due every ``period`` seconds, on a schedule that is fixed when the ticker starts. A blocked loop runs no ticks,
so it cannot report its own lag: a ticker that recorded only the ticks that ran would call a blocked loop a good one
(coordinated omission). Therefore every tick that was due counts. A missed tick counts with the lateness that it had when
the loop ran again.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gilscope._core import Histogram

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MAX_BINS = 2000
EARLY_SECONDS = 0.002
"""A timer that fires earlier than this was set by another clock: the selector rounds its waits to milliseconds."""


@dataclass
class TickBins:
    """Ticks over time, in constant memory: at most :data:`MAX_BINS` bins of ``width`` seconds.

    When there would be more, neighbours are merged: a merged bin keeps the worse lag and the sums.
    """

    width: float
    due: list[int] = field(default_factory=list)
    came: list[int] = field(default_factory=list)
    worst: list[float] = field(default_factory=list)

    def add(self, at: float, lag: float, *, came: bool) -> None:
        """Count a tick that was due ``at`` seconds after the start and ``lag`` seconds late."""
        at += self.width / 1000  # a tick due on a bin's edge belongs to the bin that begins there, despite rounding
        while (place := int(at / self.width)) >= MAX_BINS:
            self._halve()
        missing = place + 1 - len(self.due)
        if missing > 0:
            self.due += [0] * missing
            self.came += [0] * missing
            self.worst += [0.0] * missing
        self.due[place] += 1
        self.came[place] += came
        self.worst[place] = max(self.worst[place], lag)

    def _halve(self) -> None:
        self.width *= 2
        self.due = [sum(self.due[i : i + 2]) for i in range(0, len(self.due), 2)]
        self.came = [sum(self.came[i : i + 2]) for i in range(0, len(self.came), 2)]
        self.worst = [max(self.worst[i : i + 2]) for i in range(0, len(self.worst), 2)]


class Ticker:
    """Ticks every ``period`` seconds on the loop that :meth:`start` is called in, and records how late each tick was.

    ``clock`` and ``sleep`` let a test supply its own time.
    """

    def __init__(
        self,
        period: float,
        *,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        if not (math.isfinite(period) and period > 0):
            raise ValueError("period must be a positive number of seconds")
        self.period = period
        self.lags = Histogram()
        self.bins = TickBins(period)
        self.due = 0
        self.came = 0
        self._clock = clock
        self._sleep = sleep

    def start(self) -> None:
        """Start ticking. The first tick is due one period from now."""
        self._began = self._clock()
        self._next = self._began + self.period
        self._end = math.inf
        self._task = asyncio.get_running_loop().create_task(self._run(), name="gilscope ticker")

    async def stop(self) -> None:
        """Stop ticking, after the ticks that are due by now have been counted."""
        self._end = self._clock()
        if self._next > self._end:
            self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while self._next <= self._end:
            await self._sleep(max(0.0, self._next - self._clock()))
            now = self._clock()
            while self._next - now > EARLY_SECONDS:  # the clock stood still, and the loop's own clock did not
                await self._sleep(self._next - now)
                now = self._clock()
            self._serve(now)

    def _serve(self, now: float) -> None:
        """Count the tick that runs now, and the ticks that were due meanwhile and were missed."""
        late = max(0.0, now - self._next)  # a timer may fire early, by the clock's resolution
        due = self.lags.record_schedule(late, self.period)
        for number in range(due):
            passed = number * self.period
            self.bins.add(self._next + passed - self._began, late - passed, came=number == 0)
        self.due += due
        self.came += 1
        self._next += due * self.period
