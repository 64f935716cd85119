"""What the samples of a check come to: the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from gilscope._core import Histogram
from gilscope.checks.gc_pauses import explain
from gilscope.checks.phase import MEAN_GAP_SECONDS
from gilscope.checks.rule import rule
from gilscope.checks.shares import shares_of, shares_of_real_waits, was_woken
from gilscope.records.verdict import Verdict
from gilscope.records.verdict_parts import Background, Waits

if TYPE_CHECKING:
    from gilscope._core import GcListener
    from gilscope.checks.calls import Calls
    from gilscope.checks.knocks import SampledTime, Wait
    from gilscope.checks.shares import Shares
    from gilscope.records.machine import Machine


MAX_BACKGROUND_CPU = 0.1
"""If the rest of the process computed more before the calls, its threads are not known to work for them."""
MIN_TIMES_LONGER_THAN_A_HOLD = 1.5
"""A shorter wait was for a hold without a break, and not for several threads in turns."""


@dataclass
class Conclusion:
    """What a check knows besides the samples of its calls."""

    name: str
    machine: Machine
    background: Background = field(default_factory=lambda: Background(held=0.0, longest=0.0))
    background_cpu: float = 0.0
    """CPU time a second of the rest of the process, the sampling thread included."""
    switch_interval: float = 0.0
    collections: GcListener | None = None
    first_call: float | None = None
    """How long the first call took, if it was unlike the others."""

    def verdict(
        self,
        calls: Calls,
        holds: SampledTime,
        waits: SampledTime | None = None,
        *,
        real_calls: int = 0,
        endless: bool = False,
    ) -> Verdict:
        """Return the verdict on ``calls``: ``holds`` are their samples, ``waits`` those at the program's own switch interval."""
        shares = shares_of(holds, mean_gap=MEAN_GAP_SECONDS)
        real = None if waits is None else shares_of_real_waits(waits, switch_interval=self.switch_interval)
        samples = len(holds.waits)
        longest = shares.hogging[0] if shares.hogging else None
        longest_hold = max((wait.likely for wait in (*shares.hogging[:1], *shares.yielding[:1])), default=0.0)
        ruling = rule(
            shares,
            calls.duration,
            self.background,
            samples=samples,
            delays_known=calls.delays_known,
            real=real,
        )
        busy_cores = self._busy_cores(calls)
        return Verdict(
            name=self.name,
            kind=ruling.kind,
            reason=ruling.reason,
            explanation=ruling.explanation,
            released=shares.released,
            yielded=shares.yielded,
            hogged=shares.hogged,
            longest_hold=longest_hold,
            long_holds=len(shares.hogging),
            longest_wait=_longest_wait(longest, real),
            usual_wait=None if waits is None or ruling.reason != "brief releases" else self._usual_wait(waits),
            longest_wait_elapsed=_longest_wait_elapsed(waits),
            starved=None if real is None else real.hogged,
            collecting=longest is not None and self.collections is not None and explain(self.collections, longest),
            waits=_quantiles(waits if waits is not None and waits.waits else holds),
            samples=samples,
            duration=calls.duration,
            calls=calls.made + real_calls + (self.first_call is not None),
            real_calls=real_calls,
            first_call=self.first_call,
            cpu=min(1.0, max(busy_cores, self._computing(calls, holds))),
            busy_cores=busy_cores,
            background=self.background,
            endless=endless,
            switch_interval=self.switch_interval,
            machine=self.machine,
        )

    def without_gil(self, calls: Calls) -> Verdict:
        """Return the figures that still have a meaning if there is no GIL to wait for."""
        busy_cores = self._busy_cores(calls)
        return Verdict(
            name=self.name,
            kind="no GIL",
            released=None,
            yielded=None,
            hogged=None,
            longest_hold=None,
            waits=None,
            samples=0,
            duration=calls.duration,
            calls=calls.made,
            cpu=min(1.0, busy_cores),
            busy_cores=busy_cores,
            background=None,
            switch_interval=0.0,
            machine=self.machine,
        )

    def _usual_wait(self, waits: SampledTime) -> float:
        """Return the median over the calls of the longest wait in a call."""
        calls: list[float] = []
        for span in waits.spans:
            woken = (wait for wait in span if wait.held and was_woken(wait, self.switch_interval))
            calls.append(max((wait.likely for wait in woken), default=0.0))
        return median(calls or [0.0])

    def _computing(self, calls: Calls, holds: SampledTime) -> float:
        """Return the share of time in which the call had something to compute, also if other programs used the CPUs.

        While the calling thread is blocked, other threads that are not blocked work for it, if none did before the calls.
        """
        if not holds.waits or not calls.own_time or self.background_cpu > MAX_BACKGROUND_CPU:
            return 0.0
        others = sum(wait.of_other_thread for wait in holds.waits) / len(holds.waits)
        return min(1.0, calls.computed / calls.own_time + others)

    def _busy_cores(self, calls: Calls) -> float:
        """Return how many cores the process kept busy during the calls: other threads may work for the calling one."""
        if not calls.own_time:
            return 0.0
        of_the_process = calls.processed - self.background_cpu * calls.elapsed
        return max(0.0, min(calls.computed, calls.own_time), of_the_process) / calls.own_time


def _longest_wait(hold: Wait | None, real: Shares | None) -> float | None:
    """Return the longest real wait. For the end of a hold without a break a thread waits at any switch interval."""
    if real is None:
        return hold.likely if hold is not None else None
    held = 0.0 if hold is None else hold.likely
    turns = max((wait.likely for wait in real.turns[:1]), default=0.0)
    waits = [wait.likely for wait in (*real.hogging[:1], *real.yielding[:1])]
    return max(held, *waits, turns if turns > MIN_TIMES_LONGER_THAN_A_HOLD * held else 0.0, 0.0)


def _longest_wait_elapsed(waits: SampledTime | None) -> float | None:
    return None if waits is None else max((wait.end - wait.start for wait in waits.waits if wait.held), default=0.0)


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
