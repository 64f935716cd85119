"""A check in progress: a native thread asks for the GIL at random moments while the calls are made."""

from __future__ import annotations

import threading
from time import sleep
from typing import TYPE_CHECKING

from gilscope._core import GcListener, Histogram, Knocker, LoweredSwitchInterval, monotonic
from gilscope.checks.calls import Calls
from gilscope.checks.gc_pauses import explain, recorded_pauses
from gilscope.checks.rule import rule
from gilscope.checks.shares import Shares, shares_of
from gilscope.records.machine import machine
from gilscope.records.verdict import Background, Verdict, Waits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from gilscope._core import Knock
    from gilscope.checks.knocks import SampledTime

MAX_TIMES_LONGER = 8
"""A check whose samples leave its verdict uncertain goes on for up to this many times its time."""
MEAN_GAP_SECONDS = 0.0005
"""Between two samples."""
LOWERED_SWITCH_INTERVAL_SECONDS = 0.0001
"""During the check: a callable that yields does so within this time, which is far below a long hold."""
BACKGROUND_SECONDS = 0.03
"""How long the rest of the process is sampled before the calls."""
MAX_KNOCKS_KEPT = 2_000_000
"""The knocks of a quarter of an hour; they take 250 MB."""


class Checking:
    """A check. Another thread may ask for its verdict so far."""

    def __init__(self, call: Callable[[], Any], name: str) -> None:
        self.name = name
        self.machine = machine()
        self.calls = Calls(call)
        self.knocker = Knocker(mean_gap=MEAN_GAP_SECONDS, watched=threading.get_native_id(), keep=MAX_KNOCKS_KEPT)
        self.background = Background(held=0.0, longest=0.0)
        self.usual_switch_interval = 0.0
        self.collections: GcListener | None = None

    def run(self, time: float) -> Verdict:
        """Make the calls for ``time`` seconds, and for longer if the samples leave the verdict uncertain."""
        if not self.machine.gil:
            self.calls.make(time)
            return self._without_gil()
        lowered = LoweredSwitchInterval(interval=LOWERED_SWITCH_INTERVAL_SECONDS)
        with lowered as self.usual_switch_interval, recorded_pauses() as self.collections, self.knocker:
            self.background = self._sample_background()
            self.calls.make(time)
            while (
                more := min(self.calls.elapsed, time * MAX_TIMES_LONGER - self.calls.elapsed)
            ) > 0 and not self._shares().certain:
                self.calls.make(more)
        return self._verdict(self.knocker.knocks(), self.calls)

    def verdict_so_far(self) -> Verdict | None:
        """Return the verdict on the calls that have ended, or on the one that does not end; ``None`` before any has run."""
        now = monotonic()  # before this thread holds the GIL for a while
        knocks = self.knocker.knocks()
        calls = self.calls.so_far(now, knocks)
        return self._verdict(knocks, calls, endless=not calls.made) if calls.own_time > 0 else None

    def _sample_background(self) -> Background:
        begin = monotonic()
        sleep(BACKGROUND_SECONDS)
        end = monotonic()
        return background(self.knocker.knocks(), begin=begin, end=end)

    def _shares(self) -> Shares:
        return shares_of(self.calls.sampled_by(self.knocker.knocks()), mean_gap=MEAN_GAP_SECONDS)

    def _verdict(self, knocks: Sequence[Knock], calls: Calls, *, endless: bool = False) -> Verdict:
        sampled = calls.sampled_by(knocks)
        shares = shares_of(sampled, mean_gap=MEAN_GAP_SECONDS)
        samples = len(sampled.waits)
        longest = shares.hogging[0] if shares.hogging else None
        ruling = rule(shares, calls.duration, self.background, samples=samples, delays_known=calls.delays_known)
        return Verdict(
            name=self.name,
            kind=ruling.kind,
            reason=ruling.reason,
            explanation=ruling.explanation,
            released=shares.released,
            yielded=shares.yielded,
            hogged=shares.hogged,
            longest_hold=max((wait.likely for wait in (*shares.hogging[:1], *shares.yielding[:1])), default=0.0),
            long_holds=len(shares.hogging),
            collecting=longest is not None and self.collections is not None and explain(self.collections, longest),
            waits=_quantiles(sampled),
            samples=samples,
            duration=calls.duration,
            calls=calls.made,
            cpu=calls.cpu,
            background=self.background,
            endless=endless,
            switch_interval=self.usual_switch_interval,
            machine=self.machine,
        )

    def _without_gil(self) -> Verdict:
        """Return the figures that still have a meaning if there is no GIL to wait for."""
        return Verdict(
            name=self.name,
            kind="no GIL",
            released=None,
            yielded=None,
            hogged=None,
            longest_hold=None,
            waits=None,
            samples=0,
            duration=self.calls.duration,
            calls=self.calls.made,
            cpu=self.calls.cpu,
            background=None,
            switch_interval=0.0,
            machine=self.machine,
        )


def background(knocks: Sequence[Knock], *, begin: float, end: float) -> Background:
    """Return what other threads did from ``begin`` to ``end``, while the calling thread slept.

    The time of the waits is known, and the knocks are a sample of the time between. A knock that found the calling thread
    awake is left out: it may have waited for that.
    """
    asleep = [
        knock
        for knock in knocks
        if begin <= knock.start
        and knock.start + knock.wait <= end
        and (knock.of_other_thread or knock.state in ("blocked", None))
    ]
    waits = [max(0.0, knock.wait - knock.queued - knock.own_queued) for knock in asleep if knock.held]
    if not asleep:
        return Background(held=0.0, longest=0.0)
    waited = sum(waits)
    between = max(0.0, end - begin - waited)
    held = (waited + between * len(waits) / len(asleep)) / (end - begin)
    return Background(held=held, longest=max(waits, default=0.0))


def _quantiles(sampled: SampledTime) -> Waits:
    """Return the quantiles of all waits, with those of the samples that a waiting knock kept from being taken."""
    waits = Histogram()
    for wait in sampled.waits:
        if wait.held:
            waits.record_schedule(wait.likely if wait.likely == wait.most else wait.least, MEAN_GAP_SECONDS)
        else:
            waits.record(0.0)
    p50, p90, p99, longest = (waits.quantile(q) or 0.0 for q in (0.5, 0.9, 0.99, 1.0))
    return Waits(p50=p50, p90=p90, p99=p99, max=longest)
