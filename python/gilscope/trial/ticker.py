"""How late the event loop is.

A tick is due every ``period`` seconds, on a schedule that is fixed when the ticker starts. A loop that is blocked serves
no tick and so cannot tell how late it is; a ticker that only recorded the ticks that came would report a blocked loop as a
good one (coordinated omission). So every tick that was due is counted, one that did not come with the lateness that it
had when the loop was next served.
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

MOST_BINS = 2000


@dataclass
class Timeline:
    """Ticks in time, in constant memory: bins of ``width`` seconds, whose number never exceeds :data:`MOST_BINS`.

    When it would, neighbours are merged: a merged bin keeps the worse lag and the sums, so nothing is cut.
    """

    width: float
    due: list[int] = field(default_factory=list)
    came: list[int] = field(default_factory=list)
    worst: list[float] = field(default_factory=list)

    def add(self, at: float, lag: float, *, came: bool) -> None:
        """Count a tick that was due ``at`` seconds after the start and ``lag`` seconds late."""
        at += self.width / 1000  # a tick due on a bin's edge is of the bin that begins there, whatever its last digits
        while (place := int(at / self.width)) >= MOST_BINS:
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
    """Ticks every ``period`` seconds on the loop that :meth:`start` is called in, and counts how late each tick was.

    ``clock`` and ``sleep`` are there for tests with a time of their own.
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
        self.timeline = Timeline(period)
        self.due = 0
        self.came = 0
        self._clock = clock
        self._sleep = sleep

    def start(self) -> None:
        """Begin to tick; the first tick is due a period from now."""
        self._began = self._clock()
        self._next = self._began + self.period
        self._end = math.inf
        self._task = asyncio.get_running_loop().create_task(self._run(), name="gilscope ticker")

    async def stop(self) -> None:
        """Stop: the ticks that are due by now still count, and are waited for."""
        self._end = self._clock()
        if self._next > self._end:
            self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while self._next <= self._end:
            await self._sleep(max(0.0, self._next - self._clock()))
            self._serve(self._clock())

    def _serve(self, now: float) -> None:
        """Count the tick that comes now, and those that were due meanwhile and never will."""
        late = max(0.0, now - self._next)  # a timer may fire a clock's grain too early
        due = self.lags.record_schedule(late, self.period)
        for number in range(due):
            passed = number * self.period
            self.timeline.add(self._next + passed - self._began, late - passed, came=number == 0)
        self.due += due
        self.came += 1
        self._next += due * self.period
