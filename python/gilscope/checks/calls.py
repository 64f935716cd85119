"""The calls of what is checked: made one after another for a while, with the time that they took."""

from __future__ import annotations

import inspect
import os
import threading
from dataclasses import dataclass, field
from itertools import repeat
from math import inf
from time import process_time, sleep, thread_time
from typing import TYPE_CHECKING, Any

from gilscope._core import monotonic, run_queue_delay
from gilscope.checks.knocks import SampledTime, knocks_in, longest_delay

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilscope._core import Knock

ENDLESS_AFTER_TIMES = 10
"""A call that has taken this many times as long as all calls before it together does not end."""
BATCH_SECONDS = 0.001
"""Short calls are made in batches of about this length, so that reading the clock takes no share of their time."""
PAUSE_SECONDS = 0.0005
"""With ``apart``, the pause between two batches: a thread that waits for the GIL gets it then."""
SHORT_CALL_SECONDS = 0.0005
"""A longer call that returns a generator has done something before."""
FIRST_CALL_TIMES = 5
"""A first call is unlike the others if it takes this many times as long as they do on average,"""
FIRST_CALL_SECONDS = 0.005
"""and this much longer."""


class NothingRanError(TypeError):
    """The call returned a coroutine or a generator, which nothing ran. ``runner`` is what runs such a value."""

    def __init__(self, what: str, runner: str) -> None:
        super().__init__(f"the call returned {what}, which nothing ran: check lambda: {runner}(...)")
        self.what, self.runner = what, runner


@dataclass(frozen=True)
class _Readings:
    """What the system has counted so far. All times in seconds."""

    computed: float
    """CPU time of the calling thread."""
    process: float
    """CPU time of the process."""
    queued: float | None
    """The calling thread's time in run queues; ``None`` if the system does not report it."""

    @classmethod
    def now(cls) -> _Readings:
        queued = run_queue_delay(threading.get_native_id())
        return cls(computed=thread_time(), process=process_time(), queued=queued)


@dataclass(eq=False)
class Calls:
    """The calls made so far, all of them on one thread."""

    call: Callable[[], Any]
    apart: bool = False
    """Whether the calls are made one by one with a pause after each (short ones in batches), so that a thread that waits for
    the GIL never waits for more than one of them."""
    ended: tuple[int, float] = (0, 0.0)
    """How many calls have ended, and when the last one did; one tuple, because another thread may read both at any time."""
    spans: list[tuple[float, float]] = field(default_factory=list)
    began: float | None = None
    """When the calls in progress began."""
    process_at_begin: float = 0.0
    """CPU time of the process when the calls in progress began."""
    computed: float = 0.0
    processed: float = 0.0
    """CPU time of the whole process while the calls ran."""
    queued: float = 0.0
    """Of ``elapsed``: the time in run queues."""
    delays_known: bool = False
    """Whether the system reports how long the thread waited in run queues."""
    copied: bool = False
    """Whether this process is a copy that a call has forked."""
    first: Calls | None = None
    """The first call by itself."""

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

    def make(self, seconds: float) -> None:
        """Make calls for ``seconds``, at least one."""
        _in_progress.append(self)
        begin = monotonic()
        try:
            if self.first is None and not self.apart:
                self._make(0.0)
                self.first = Calls(
                    self.call, ended=self.ended, spans=self.spans[:], computed=self.computed, queued=self.queued
                )
                self.first.processed = self.processed
            left = begin + seconds - monotonic()
            while not self.made or left > 0:
                self._make(0.0 if self.apart else left)
                if self.apart:
                    sleep(PAUSE_SECONDS)
                left = begin + seconds - monotonic()
        finally:
            if self.copied:  # a call has raised in a process that it forked: the error must not appear a second time
                os._exit(0)
            _in_progress.remove(self)

    def _make(self, seconds: float) -> None:
        """Make one batch of calls after another for ``seconds``, at least one, as one span."""
        before = monotonic()
        read = _Readings.now()
        self.process_at_begin = read.process
        began = self.began = monotonic()
        self._call_until(began, began + seconds)
        self.spans.append((began, self.ended[1]))
        self.began = None
        now = _Readings.now()
        self.computed += now.computed - read.computed
        self.processed += now.process - read.process
        if read.queued is not None and now.queued is not None:
            # The thread may also have waited for a CPU between the calls and a reading.
            outside = monotonic() - before - (self.ended[1] - began)
            self.queued += max(0.0, now.queued - read.queued - outside)
            self.delays_known = True

    def without_first(self) -> Calls:
        """Return the calls after the first one, which must have been made."""
        first = self.first
        if first is None:
            return self
        return Calls(
            self.call,
            ended=(self.made - first.made, self.ended[1]),
            spans=self.spans[1:],
            computed=self.computed - first.computed,
            processed=self.processed - first.processed,
            queued=self.queued - first.queued,
            delays_known=self.delays_known,
        )

    def usual(self) -> Calls:
        """Return the calls without a first one that is unlike the others: what a verdict is about."""
        first = self.first
        if first is None or self.made <= first.made or not is_unlike(first, others := self.without_first()):
            return self
        return others

    def so_far(self, now: float, knocks: Sequence[Knock]) -> Calls:
        """Return the calls that have ended by ``now``; with none made, the call that does not end. For another thread.

        The calling thread's clock cannot be read from another thread, so its CPU time comes from the knocks.
        """
        (made, end), began, spans, processed = self.ended, self.began, list(self.spans), self.processed
        if began is not None:
            in_progress = process_time() - self.process_at_begin
            processed += in_progress
            if end > began and (began, end) not in spans:
                spans.append((began, end))
            latest = max(began, end)
            if now - latest > ENDLESS_AFTER_TIMES * sum(until - begin for begin, until in spans):
                made, spans, processed = 0, [(latest, now)], in_progress * (now - latest) / (now - began)
        met = knocks_in(knocks, spans)
        return Calls(
            self.call,
            apart=self.apart,
            ended=(made, end),
            spans=spans,
            computed=sum(knock.ran_before + knock.ran for knock in met),
            processed=processed,
            queued=sum(knock.queued_before + knock.queued for knock in met),
            delays_known=any(knock.state is not None for knock in met),
        )

    def sampled_by(self, knocks: Sequence[Knock]) -> SampledTime:
        """Return the time of the calls, as ``knocks`` sampled it."""
        # A thread without priority may wait for a CPU longer after a long sleep than between two knocks.
        sampled = SampledTime(delay=inf if self.apart else longest_delay(knocks_in(knocks, self.spans)))
        for begin, end in self.spans:
            sampled.add(knocks, begin=begin, end=end)
        return sampled

    def _call_until(self, begin: float, deadline: float) -> None:
        """Make calls up to the deadline, at least one, and note those that have ended."""
        now, first = begin, True
        call = self.call
        while first or now < deadline:
            first, began, batch = False, now, self._batch
            for _ in repeat(None, batch):
                result = None  # it must not outlive the call
                result = call()
                if self.copied:
                    os._exit(0)  # otherwise each call would add a process that goes on with the check
            now = monotonic()
            self.ended = (self.ended[0] + batch, now)
            if now - began < BATCH_SECONDS / 2:
                self._batch *= 2
            elif now - began > 2 * BATCH_SECONDS and batch > 1:
                self._batch //= 2
            _must_have_run(result, (now - began) / batch)
            del result

    _batch: int = 1


def is_unlike(first: Calls, others: Calls) -> bool:
    """Return whether the first call took much longer than the others: it compiled, imported, or filled a cache."""
    usual = others.duration
    return first.duration > FIRST_CALL_TIMES * usual and first.duration - usual > FIRST_CALL_SECONDS


def _must_have_run(result: Any, seconds: float) -> None:
    """Raise :class:`NothingRanError` if a call of ``seconds`` only made ``result``, which something else has to run."""
    if inspect.iscoroutine(result):
        result.close()
        raise NothingRanError("a coroutine", "asyncio.run")
    if seconds < SHORT_CALL_SECONDS and inspect.isgenerator(result):
        raise NothingRanError("a generator", "list")


_in_progress: list[Calls] = []


def _mark_copies() -> None:
    for calls in _in_progress:
        calls.copied = True


os.register_at_fork(after_in_child=_mark_copies)
