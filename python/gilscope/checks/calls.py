"""Calls of what is checked, made one after another for a while, and what they took."""

from __future__ import annotations

import inspect
import os
import threading
from dataclasses import dataclass, field
from itertools import repeat
from time import thread_time
from typing import TYPE_CHECKING, Any

from gilscope._core import monotonic, run_queue_delay
from gilscope.checks.knocks import Heard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilscope._core import Knock

OUTLASTS = 10
"""A call under way that has taken so many times as long as all before it together is one that does not end."""
BATCH = 0.001
"""Calls are made in batches that take so long (seconds), or one by one: the clock must not take part of their time."""


@dataclass(eq=False)
class Calls:
    """The calls that were made up to now, all of them on one thread."""

    call: Callable[[], Any]
    over: tuple[int, float] = (0, 0.0)
    """How many calls are over, and when the last was; one tuple, since another thread may ask for both at any time."""
    spans: list[tuple[float, float]] = field(default_factory=list)
    began: float | None = None
    """When the calls began that are not over."""
    computed: float = 0.0
    queued: float = 0.0
    corrected: bool = False
    """Whether the system tells how long the thread stood in run queues."""
    copied: bool = False
    """Whether this is a copy, in a process that a call has forked."""

    @property
    def made(self) -> int:
        return self.over[0]

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
        _under_way.append(self)
        try:
            began = self.began = monotonic()
            self._call_until(began, began + seconds)
        finally:
            if self.copied:  # a call has raised in a process that it forked: that must not come out here as well
                os._exit(0)
            _under_way.remove(self)
        self.spans.append((began, self.over[1]))
        self.began = None
        self.computed += thread_time() - computed
        queued_now = run_queue_delay(thread)
        if queued is not None and queued_now is not None:
            self.queued += queued_now - queued
            self.corrected = True

    def so_far(self, now: float, knocks: Sequence[Knock]) -> Calls:
        """Return the calls that are over by ``now``, or, as none, the one that does not end. For another thread.

        The thread's own clock cannot be read from there: the knocks tell what the calls took.
        """
        (made, end), began, spans = self.over, self.began, list(self.spans)
        if began is not None:
            if end > began and (began, end) not in spans:
                spans.append((began, end))
            begun = max(began, end)
            if now - begun > OUTLASTS * sum(until - begin for begin, until in spans):
                made, spans = 0, [(begun, now)]
        met = [knock for knock in knocks if any(begin <= knock.start <= until for begin, until in spans)]
        return Calls(
            self.call,
            over=(made, end),
            spans=spans,
            computed=sum(knock.ran_before + knock.ran for knock in met),
            queued=sum(knock.queued_before + knock.queued for knock in met),
            corrected=any(knock.doing is not None for knock in met),
        )

    def hear(self, knocks: Sequence[Knock]) -> Heard:
        """Return what ``knocks`` tell of the calls."""
        heard = Heard()
        for begin, end in self.spans:
            heard.add(knocks, begin=begin, end=end)
        return heard

    def _call_until(self, begin: float, deadline: float) -> None:
        """Make calls up to the deadline, at least one, and keep account of those that are over."""
        batch, now, first = 1, begin, True
        call = self.call
        while first or now < deadline:
            first, began = False, now
            for _ in repeat(None, batch):
                result = call()
                if self.copied:
                    os._exit(0)  # one copy more with each call, and each would go on with the check
            now = monotonic()
            self.over = (self.over[0] + batch, now)
            if now - began < BATCH / 2:
                batch *= 2
            elif now - began > 2 * BATCH and batch > 1:
                batch //= 2
            if inspect.iscoroutine(result):
                result.close()
                raise TypeError(
                    "what is checked returned a coroutine, which nothing ran: check lambda: asyncio.run(...)"
                )
            del result


_under_way: list[Calls] = []


def _copied() -> None:
    for calls in _under_way:
        calls.copied = True


os.register_at_fork(after_in_child=_copied)
