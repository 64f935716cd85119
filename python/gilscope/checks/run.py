"""One check under way: a native thread knocks at the GIL at random moments while the calls are made."""

from __future__ import annotations

import threading
from time import sleep
from typing import TYPE_CHECKING

from gilscope._core import Collections, Histogram, Knocker, LoweredSwitchInterval, monotonic
from gilscope.checks.calls import Calls
from gilscope.checks.gc_pauses import made, noted
from gilscope.checks.knocks import BLOCKED, was_held
from gilscope.checks.rule import rule
from gilscope.checks.shares import Shares, read
from gilscope.records.machine import machine
from gilscope.records.verdict import Baseline, Verdict, Waits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from gilscope._core import Knock
    from gilscope.checks.knocks import Heard

LONGEST = 8
"""So many times as long at most, where the knocks do not tell by then."""

MEAN_GAP = 0.0005
"""Between two knocks (seconds)."""

INTERVAL = 0.0001
"""The switch interval meanwhile: what yields does so soon, and cannot be taken for a stretch."""

LISTEN = 0.03
"""How long the process is listened to before the calls."""

ASLEEP = (BLOCKED, None)
"""What a knock may say of the thread while it is listened; ``None`` where the system does not tell."""

KEEP = 2_000_000
"""So many knocks are kept at most (250 MB), which are those of a quarter of an hour."""


class Checking:
    """A check whose verdict so far may be asked for from another thread."""

    def __init__(self, call: Callable[[], Any], name: str) -> None:
        self.name = name
        self.machine = machine()
        self.calls = Calls(call)
        self.knocker = Knocker(mean_gap=MEAN_GAP, watched=threading.get_native_id(), keep=KEEP)
        self.baseline = Baseline(held=0.0, longest=0.0)
        self.usual = 0.0
        self.collections: Collections | None = None

    def run(self, time: float) -> Verdict:
        """Make the calls for ``time`` seconds, and longer if the knocks do not tell."""
        if not self.machine.gil:
            self.calls.make(time)
            return self._without_gil()
        with LoweredSwitchInterval(interval=INTERVAL) as self.usual, noted() as self.collections, self.knocker:
            self.baseline = self._listen()
            self.calls.make(time)
            while (
                more := min(self.calls.elapsed, time * LONGEST - self.calls.elapsed)
            ) > 0 and not self._shares().sure:
                self.calls.make(more)
        return self._verdict(self.knocker.knocks(), self.calls)

    def verdict_so_far(self) -> Verdict:
        """Return the verdict on the calls that are over, or on the one that does not end."""
        now = monotonic()  # before this thread keeps the GIL for a while
        knocks = self.knocker.knocks()
        calls = self.calls.so_far(now, knocks)
        return self._verdict(knocks, calls, endless=not calls.made)

    def _listen(self) -> Baseline:
        begin = monotonic()
        sleep(LISTEN)
        end = monotonic()
        return baseline(self.knocker.knocks(), begin=begin, end=end)

    def _shares(self) -> Shares:
        return read(self.calls.hear(self.knocker.knocks()), mean_gap=MEAN_GAP)

    def _verdict(self, knocks: Sequence[Knock], calls: Calls, *, endless: bool = False) -> Verdict:
        heard = calls.hear(knocks)
        shares = read(heard, mean_gap=MEAN_GAP)
        longest = shares.hogging[0] if shares.hogging else None
        kind, settle = rule(shares, calls.duration, self.baseline, corrected=calls.corrected)
        return Verdict(
            name=self.name,
            kind=kind,
            settle=settle,
            released=shares.released,
            yielded=shares.yielded,
            hogged=shares.hogged,
            longest_hold=max((wait.likely for wait in (*shares.hogging[:1], *shares.yielding[:1])), default=0.0),
            stretch=None if longest is None else longest.likely,
            stretches=len(shares.hogging),
            collecting=longest is not None and self.collections is not None and made(self.collections, longest),
            waits=_waits(heard),
            knocks=len(heard.waits),
            duration=calls.duration,
            calls=calls.made,
            cpu=calls.cpu,
            baseline=self.baseline,
            endless=endless,
            interval=self.usual,
            machine=self.machine,
        )

    def _without_gil(self) -> Verdict:
        """Tell what still means something where nothing can wait for the GIL."""
        return Verdict(
            name=self.name,
            kind="no GIL",
            released=None,
            yielded=None,
            hogged=None,
            longest_hold=None,
            waits=None,
            knocks=0,
            duration=self.calls.duration,
            calls=self.calls.made,
            cpu=self.calls.cpu,
            baseline=None,
            interval=0.0,
            machine=self.machine,
        )


def baseline(knocks: Sequence[Knock], *, begin: float, end: float) -> Baseline:
    """Return what others did while the calling thread slept, from ``begin`` to ``end``.

    The waits are time that is known; of the time between them the knocks are a sample. A knock that came when the calling
    thread was not asleep yet, or no longer, has met that.
    """
    asleep = [
        knock
        for knock in knocks
        if begin <= knock.start and knock.start + knock.wait <= end and (knock.of_another or knock.doing in ASLEEP)
    ]
    waits = [max(0.0, knock.wait - knock.queued - knock.own_queued) for knock in asleep if was_held(knock)]
    if not asleep:
        return Baseline(held=0.0, longest=0.0)
    waited = sum(waits)
    between = max(0.0, end - begin - waited)
    return Baseline(held=(waited + between * len(waits) / len(asleep)) / (end - begin), longest=max(waits, default=0.0))


def _waits(heard: Heard) -> Waits:
    """Return the quantiles of all the waits that were due: a knock that waits keeps others from coming."""
    waits = Histogram()
    for wait in heard.waits:
        if wait.held:
            waits.record_schedule(wait.likely if wait.likely == wait.most else wait.least, MEAN_GAP)
        else:
            waits.record(0.0)
    p50, p90, p99, longest = (waits.quantile(q) or 0.0 for q in (0.5, 0.9, 0.99, 1.0))
    return Waits(p50=p50, p90=p90, p99=p99, max=longest)
