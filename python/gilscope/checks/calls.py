"""The calls of what is checked: made one after another for a while, with the time that they took."""

from __future__ import annotations

import inspect
import os
import threading
from dataclasses import dataclass, field
from itertools import repeat
from time import thread_time
from typing import TYPE_CHECKING, Any

from gilscope._core import monotonic, run_queue_delay
from gilscope.checks.knocks import SampledTime, knocks_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilscope._core import Knock

ENDLESS_AFTER_TIMES = 10
"""A call that has taken this many times as long as all calls before it together does not end."""
BATCH_SECONDS = 0.001
"""Short calls are made in batches of about this length, so that reading the clock takes no share of their time."""


@dataclass(eq=False)
class Calls:
    """The calls made so far, all of them on one thread."""

    call: Callable[[], Any]
    ended: tuple[int, float] = (0, 0.0)
    """How many calls have ended, and when the last one did; one tuple, because another thread may read both at any time."""
    spans: list[tuple[float, float]] = field(default_factory=list)
    began: float | None = None
    """When the calls in progress began."""
    computed: float = 0.0
    queued: float = 0.0
    """Of ``elapsed``: the time in run queues."""
    delays_known: bool = False
    """Whether the system reports how long the thread waited in run queues."""
    copied: bool = False
    """Whether this process is a copy that a call has forked."""

    @property
    def made(self) -> int:
        return self.ended[0]

    @property
    def elapsed(self) -> float:
        return sum(end - begin for begin, end in self.spans)

    @property
    def own_time(self) -> float:
        """The time of the calls without the time in run queues."""
        return max(self.computed, self.elapsed - self.queued)

    @property
    def duration(self) -> float:
        return self.own_time / max(1, self.made)

    @property
    def cpu(self) -> float:
        return min(1.0, self.computed / self.own_time) if self.own_time else 0.0

    def make(self, seconds: float) -> None:
        """Make calls for ``seconds``, at least one."""
        thread = threading.get_native_id()
        before = monotonic()
        queued, computed = run_queue_delay(thread), thread_time()
        _in_progress.append(self)
        try:
            began = self.began = monotonic()
            self._call_until(began, began + seconds)
        finally:
            if self.copied:  # a call has raised in a process that it forked: the error must not appear a second time
                os._exit(0)
            _in_progress.remove(self)
        self.spans.append((began, self.ended[1]))
        self.began = None
        self.computed += thread_time() - computed
        queued_now = run_queue_delay(thread)
        if queued is not None and queued_now is not None:
            # The thread may also have waited for a CPU between the calls and a reading.
            outside = monotonic() - before - (self.ended[1] - began)
            self.queued += max(0.0, queued_now - queued - outside)
            self.delays_known = True

    def so_far(self, now: float, knocks: Sequence[Knock]) -> Calls:
        """Return the calls that have ended by ``now``; with none made, the call that does not end. For another thread.

        The calling thread's clock cannot be read from another thread, so the CPU time comes from the knocks.
        """
        (made, end), began, spans = self.ended, self.began, list(self.spans)
        if began is not None:
            if end > began and (began, end) not in spans:
                spans.append((began, end))
            latest = max(began, end)
            if now - latest > ENDLESS_AFTER_TIMES * sum(until - begin for begin, until in spans):
                made, spans = 0, [(latest, now)]
        met = knocks_in(knocks, spans)
        return Calls(
            self.call,
            ended=(made, end),
            spans=spans,
            computed=sum(knock.ran_before + knock.ran for knock in met),
            queued=sum(knock.queued_before + knock.queued for knock in met),
            delays_known=any(knock.state is not None for knock in met),
        )

    def sampled_by(self, knocks: Sequence[Knock]) -> SampledTime:
        """Return the time of the calls, as ``knocks`` sampled it."""
        sampled = SampledTime()
        for begin, end in self.spans:
            sampled.add(knocks, begin=begin, end=end)
        return sampled

    def _call_until(self, begin: float, deadline: float) -> None:
        """Make calls up to the deadline, at least one, and note those that have ended."""
        batch, now, first = 1, begin, True
        call = self.call
        while first or now < deadline:
            first, began = False, now
            for _ in repeat(None, batch):
                result = call()
                if self.copied:
                    os._exit(0)  # otherwise each call would add a process that goes on with the check
            now = monotonic()
            self.ended = (self.ended[0] + batch, now)
            if now - began < BATCH_SECONDS / 2:
                batch *= 2
            elif now - began > 2 * BATCH_SECONDS and batch > 1:
                batch //= 2
            if inspect.iscoroutine(result):
                result.close()
                raise TypeError("the call returned a coroutine, which nothing ran: check lambda: asyncio.run(...)")
            del result


_in_progress: list[Calls] = []


def _mark_copies() -> None:
    for calls in _in_progress:
        calls.copied = True


os.register_at_fork(after_in_child=_mark_copies)
