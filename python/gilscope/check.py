"""Whether a callable hogs, yields or releases the GIL.

The callable runs on the calling thread, as often as the time allows, while a native thread knocks at the GIL at random
moments (:mod:`gilscope.waits`, :mod:`gilscope.shares`). ``docs/check.md`` has the method.
"""

from __future__ import annotations

import inspect
import threading
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from math import isfinite
from time import sleep, thread_time
from typing import TYPE_CHECKING, Any

from gilscope import results
from gilscope._core import Histogram, Knocker, LoweredSwitchInterval, monotonic, run_queue_delay
from gilscope.naming import name_of
from gilscope.pauses import made, noted
from gilscope.ruling import rule
from gilscope.shares import read
from gilscope.verdict import Baseline, Verdict, Waits
from gilscope.waits import Heard

if TYPE_CHECKING:
    from collections.abc import Callable

TIME = 0.5
"""How long (seconds) the callable is run, unless it is told otherwise."""

LONGEST = 8
"""So many times as long at most, where the knocks do not tell by then."""

MEAN_GAP = 0.0005
"""Between two knocks."""

INTERVAL = 0.0001
"""The switch interval meanwhile: what yields does so soon, and cannot be taken for a stretch."""

LISTEN = 0.03
"""How long the process is listened to before the callable runs."""

BATCH = 0.001
"""Calls are made in batches that take so long, or one by one: looking at the clock must not take part of their time."""

KEEP = 2_000_000
"""So many knocks are kept at most (200 MB), which are those of a quarter of an hour."""


def check(fn: Callable[..., Any], /, *args: Any, time: float = TIME, **kwargs: Any) -> Verdict:
    """Say what ``fn(*args, **kwargs)`` does to the GIL.

    It is called on this thread for ``time`` seconds (up to eight times that where the knocks do not tell by then: on an overloaded machine), at least once;
    a keyword argument of its own that is called ``time`` needs :func:`functools.partial`. What it raises comes out as it
    is. The switch interval is lowered meanwhile, and put back whatever happens.

    Raises ``TypeError`` for what cannot be checked by calling it (a coroutine function, a generator function, what is not
    callable) and ``ValueError`` for a ``time`` that is negative or not finite; then nothing has been called.
    """
    call = _callable(fn, args, kwargs)
    if not isfinite(time) or time < 0:
        raise ValueError(f"time must be a finite number of seconds from 0 on, not {time!r}")
    machine = results.machine()
    if not machine.gil:
        return _without_gil(call, time, name_of(fn), machine)
    with (
        LoweredSwitchInterval(interval=INTERVAL) as usual,
        noted() as collections,
        Knocker(mean_gap=MEAN_GAP, watched=threading.get_native_id(), keep=KEEP) as knocker,
    ):
        baseline = _listen(knocker)
        run = _run(call, time, knocker)
    shares = read(run.hear(knocker), mean_gap=MEAN_GAP)
    longest = shares.hogging[0] if shares.hogging else None
    kind, settle = rule(shares, run.duration, baseline, corrected=run.corrected)
    return Verdict(
        name=name_of(fn),
        kind=kind,
        settle=settle,
        released=shares.released,
        yielded=shares.yielded,
        hogged=shares.hogged,
        longest_hold=max((wait.likely for wait in (shares.hogging[:1] + shares.yielding[:1])), default=0.0),
        stretch=None if longest is None else longest.likely,
        stretches=len(shares.hogging),
        collecting=longest is not None and made(collections, longest),
        waits=_waits(run.heard),
        knocks=len(run.heard.waits),
        duration=run.duration,
        calls=run.calls,
        cpu=run.cpu,
        baseline=baseline,
        interval=usual,
        machine=machine,
    )


def _callable(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], Any]:
    """Return what is to be called again and again. Native code between the calls, so that only ``fn`` is measured."""
    if not callable(fn):
        raise TypeError(f"check calls what it is given, and {type(fn).__name__!r} objects are not callable")
    for what in (fn, getattr(fn, "__call__", None)):  # noqa: B004 - the method's own kind is asked for
        if inspect.iscoroutinefunction(what):
            raise TypeError(
                f"{name_of(fn)} is a coroutine function: calling it runs nothing. Check what it calls, or "
                "lambda: asyncio.run(...)"
            )
        if inspect.isgeneratorfunction(what) or inspect.isasyncgenfunction(what):
            raise TypeError(f"{name_of(fn)} is a generator function: calling it runs nothing. Check lambda: list(...)")
    return partial(fn, *args, **kwargs) if args or kwargs else fn


def _listen(knocker: Knocker) -> Baseline:
    before = knocker.tally()
    sleep(LISTEN)
    after = knocker.tally()
    return Baseline(held=held_share(before, after), longest=after.longest if after.held > before.held else 0.0)


def held_share(before: Any, after: Any) -> float:
    """Return the share of the time between two tallies in which the GIL was held.

    Its waits are known; of the time between them the knocks are a sample.
    """
    elapsed, waited = after.elapsed - before.elapsed, after.waited - before.waited
    knocks, held = after.knocks - before.knocks, after.held - before.held
    if elapsed <= 0:
        return 0.0
    found = held / knocks if knocks else 0.0
    return float(min(1.0, (waited + max(0.0, elapsed - waited) * found) / elapsed))


@dataclass
class Run:
    """The calls that were made, and when."""

    calls: int = 0
    spans: list[tuple[float, float]] = field(default_factory=list)
    computed: float = 0.0
    queued: float = 0.0
    corrected: bool = False
    """Whether the system told how long the thread stood in run queues."""
    heard: Heard = field(default_factory=Heard)

    @property
    def elapsed(self) -> float:
        return sum(end - begin for begin, end in self.spans)

    @property
    def own(self) -> float:
        """The time that was the calls' own: not in a run queue."""
        return max(self.computed, self.elapsed - self.queued)

    @property
    def duration(self) -> float:
        return self.own / self.calls

    @property
    def cpu(self) -> float:
        return min(1.0, self.computed / self.own) if self.own else 0.0

    def hear(self, knocker: Knocker) -> Heard:
        """Return what the knocks told until now."""
        self.heard = Heard()
        knocks = knocker.knocks()
        for begin, end in self.spans:
            self.heard.add(knocks, begin=begin, end=end)
        return self.heard


def _run(call: Callable[[], Any], seconds: float, knocker: Knocker) -> Run:
    run = Run()
    _call_for(call, seconds, run)
    while run.elapsed * 2 <= seconds * LONGEST and not read(run.hear(knocker), mean_gap=MEAN_GAP).sure:
        _call_for(call, min(run.elapsed, seconds * LONGEST - run.elapsed), run)
    return run


def _call_for(call: Callable[[], Any], seconds: float, run: Run) -> None:
    thread = threading.get_native_id()
    batch, calls = 1, 0
    queued_before, computed_before = run_queue_delay(thread), thread_time()
    begin = now = monotonic()
    deadline = begin + seconds
    while not calls or now < deadline:
        began = now
        for _ in repeat(None, batch):
            result = call()
        calls += batch
        now = monotonic()
        if now - began < BATCH / 2:
            batch *= 2
        elif now - began > 2 * BATCH and batch > 1:
            batch //= 2
        if inspect.iscoroutine(result):
            result.close()
            raise TypeError("what is checked returned a coroutine, which nothing ran: check lambda: asyncio.run(...)")
    run.computed += thread_time() - computed_before
    queued = run_queue_delay(thread)
    if queued is not None and queued_before is not None:
        run.queued += queued - queued_before
        run.corrected = True
    run.calls += calls
    run.spans.append((begin, now))


def _waits(heard: Heard) -> Waits:
    """Return the quantiles of all the waits that were due: a knock that waits keeps others from coming."""
    waits = Histogram()
    waits.record(0.0)
    for wait in heard.waits:
        if wait.held:
            waits.record_schedule(wait.likely if wait.likely == wait.most else wait.least, MEAN_GAP)
        else:
            waits.record(min(wait.end - wait.start, MEAN_GAP))
    p50, p90, p99, longest = (waits.quantile(q) or 0.0 for q in (0.5, 0.9, 0.99, 1.0))
    return Waits(p50=p50, p90=p90, p99=p99, max=longest)


def _without_gil(call: Callable[[], Any], seconds: float, name: str, machine: results.Machine) -> Verdict:
    """Tell what still means something where nothing can wait for the GIL."""
    run = Run()
    _call_for(call, seconds, run)
    return Verdict(
        name=name,
        kind="no GIL",
        released=None,
        yielded=None,
        hogged=None,
        longest_hold=None,
        waits=None,
        knocks=0,
        duration=run.duration,
        calls=run.calls,
        cpu=run.cpu,
        baseline=None,
        interval=0.0,
        machine=machine,
    )
