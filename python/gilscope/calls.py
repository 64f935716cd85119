"""Calls of what is checked, made one after another for a while, and what they took."""

from __future__ import annotations

import inspect
import threading
from dataclasses import dataclass, field
from itertools import repeat
from time import thread_time
from typing import TYPE_CHECKING, Any

from gilscope._core import monotonic, run_queue_delay
from gilscope.waits import Heard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilscope._core import Knock

BATCH = 0.001
"""Calls are made in batches that take so long (seconds), or one by one: the clock must not take part of their time."""


@dataclass
class Calls:
    """The calls that were made up to now, all of them on one thread."""

    call: Callable[[], Any]
    made: int = 0
    spans: list[tuple[float, float]] = field(default_factory=list)
    began: float | None = None
    """When the calls began that are not over."""
    computed: float = 0.0
    queued: float = 0.0
    corrected: bool = False
    """Whether the system tells how long the thread stood in run queues."""

    @property
    def elapsed(self) -> float:
        return sum(end - begin for begin, end in self.spans)

    @property
    def own(self) -> float:
        """The time that was the calls' own: not in a run queue."""
        return max(self.computed, self.elapsed - self.queued)

    @property
    def duration(self) -> float:
        return self.own / max(1, self.made)

    @property
    def cpu(self) -> float:
        return min(1.0, self.computed / self.own) if self.own else 0.0

    def make(self, seconds: float) -> None:
        """Make calls for ``seconds``, at least one."""
        thread = threading.get_native_id()
        queued, computed = run_queue_delay(thread), thread_time()
        self.began = monotonic()
        made, end = _call_until(self.call, self.began, self.began + seconds)
        self.spans.append((self.began, end))
        self.began = None
        self.made += made
        self.computed += thread_time() - computed
        queued_now = run_queue_delay(thread)
        if queued is not None and queued_now is not None:
            self.queued += queued_now - queued
            self.corrected = True

    def end_here(self, now: float, knocks: Sequence[Knock]) -> None:
        """Take the call that does not end as one up to ``now``. For another thread; the knocks tell what it took."""
        if self.began is not None:
            self.spans.append((self.began, now))
            self.computed = sum(knock.ran_before + knock.ran for knock in knocks)
            self.queued = sum(knock.queued_before + knock.queued for knock in knocks)
            self.corrected = any(knock.doing is not None for knock in knocks)

    def hear(self, knocks: Sequence[Knock]) -> Heard:
        """Return what ``knocks`` tell of the calls."""
        heard = Heard()
        for begin, end in self.spans:
            heard.add(knocks, begin=begin, end=end)
        return heard


def _call_until(call: Callable[[], Any], begin: float, deadline: float) -> tuple[int, float]:
    """Return how many calls were made, and when the last was over."""
    batch, made, now = 1, 0, begin
    while not made or now < deadline:
        began = now
        for _ in repeat(None, batch):
            result = call()
        made += batch
        now = monotonic()
        if now - began < BATCH / 2:
            batch *= 2
        elif now - began > 2 * BATCH and batch > 1:
            batch //= 2
        if inspect.iscoroutine(result):
            result.close()
            raise TypeError("what is checked returned a coroutine, which nothing ran: check lambda: asyncio.run(...)")
        del result
    return made, now
