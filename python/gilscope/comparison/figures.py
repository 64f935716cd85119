"""What the records of a comparison show together: one strategy compared with another, and with the call alone."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from gilscope.records.verdict import MIN_HOLDS_OF_MOST_CALLS
from gilscope.trial.work import MAX_WORK_OF_A_CORE, mean_rate, work

if TYPE_CHECKING:
    from collections.abc import Collection

    from gilscope.records.comparison import Comparison, RoundTrip
    from gilscope.records.result import Measure, Result, Trial
    from gilscope.records.verdict import Verdict
    from gilscope.trial.work import Work

SPEED_NOISE_SHARE = 0.15
"""Speeds that differ by less are equal, however steady the calls look: the machine's clock rate alone varies as much."""
MAX_SPREAD = 0.5
TURNS_OF_A_SLEEP = 3
"""The turns of the loop that ``asyncio.sleep`` can need to notice that its time is over and to resume its task."""
STARTLING_SHARE = 0.05
"""From this share of a call on, long holds deserve a finding even if the verdict is not ``hogs``."""
WAITING_CPU_SHARE = 0.5
"""A call that uses less CPU time than this share of its duration waits rather than computes."""
MIN_CORES_OF_OWN_THREADS = 1.25
"""A single call that keeps this many cores busy computes on threads or processes of its own."""


@dataclass(frozen=True)
class ComparisonFigures:
    """A result of the kind ``compare``, by strategy and number of tasks at once."""

    result: Result

    @property
    def comparison(self) -> Comparison:
        """Raises ``ValueError`` for a result of another kind."""
        if self.result.comparison is None:
            raise ValueError(f"a result of the kind {self.result.kind} compares no strategies")
        return self.result.comparison

    @property
    def verdict(self) -> Verdict:
        return self.comparison.verdict

    @property
    def hogged(self) -> float:
        """The share of a call in which no other thread gets the GIL; 0 on a Python without a GIL."""
        return max(self.verdict.hogged or 0.0, self.verdict.starved or 0.0)

    @property
    def hold(self) -> float:
        """The longest hold in seconds, or the longest wait for releases that are too brief; 0 without a GIL."""
        return self.verdict.stall

    @property
    def stalls(self) -> bool:
        """Whether a call that releases the GIL stalls the loop beyond the budget, in most calls or for long in all."""
        verdict = self.verdict
        often = self.hogged >= STARTLING_SHARE or verdict.holds_per_call >= MIN_HOLDS_OF_MOST_CALLS
        return verdict.kind == "releases" and self.hold > self.comparison.budget and often

    @property
    def threads_suffice(self) -> bool:
        """Whether the GIL leaves the loop free while another thread makes the call."""
        return self.verdict.kind in ("releases", "no GIL")

    @property
    def waits(self) -> bool:
        """Whether a call waits rather than computes, on its own thread or on any that it started."""
        return max(self.verdict.cpu, self.busy_cores) < WAITING_CPU_SHARE

    @property
    def busy_cores(self) -> float:
        """How many cores one call at a time keeps busy, in the whole process and in its children; 0 if unknown."""
        wanted = self.wanted_cores("inline", 1)
        tried = self.wanted_cores("thread", 1) if wanted is None else wanted
        return max(tried or 0.0, self.verdict.busy_cores or 0.0)

    @property
    def own_threads(self) -> bool:
        """Whether a call computes on threads of its own: of rayon, OpenMP or a BLAS library."""
        return self.busy_cores >= MIN_CORES_OF_OWN_THREADS

    @property
    def widest(self) -> int:
        """The largest number of calls at once: the number of cores, and at least two."""
        return self.comparison.concurrency[-1]

    @property
    def workers(self) -> int:
        """The number of workers that leaves one core to the loop."""
        cores_of_a_call = self.busy_cores if self.own_threads else 1.0
        return max(1, int((self.result.machine.cores - 1) / cores_of_a_call))

    @property
    def alone(self) -> Measure | None:
        """What one call after another measured."""
        return self.measure("inline", 1) or self.measure("thread", 1)

    @property
    def busy(self) -> bool:
        """Whether other programs had the cores for a good part of the CPU time that one call after another wanted."""
        alone = self.alone
        return alone is not None and bool(alone.queued and alone.cpu is not None and alone.queued >= alone.cpu / 4)

    @property
    def short(self) -> bool:
        """Whether a call on the loop stays within the budget, by its duration and by the lag that was measured.

        The task of a timer runs after up to :data:`TURNS_OF_A_SLEEP` turns of the loop, and each turn may contain a call.
        If that many calls fit into the budget, a larger lag has another reason.
        """
        call, budget = self.verdict.duration, self.comparison.budget
        if call > budget:
            return False
        inline = self.measure("inline", 1)
        if inline is None or inline.lag.p99 is None or self.busy:
            return True
        return inline.lag.p99 <= budget or TURNS_OF_A_SLEEP * call <= budget

    def failed(self, strategy: str) -> bool:
        """Whether the call failed under ``strategy``: its round trip, or a trial. False if it was not tried."""
        trips = (trip for trip in self.comparison.round_trips if trip.strategy == strategy)
        trials = (trial for trial in self.result.trials if trial.strategy == strategy)
        return any(not trip.works for trip in trips) or any(trial.status != "finished" for trial in trials)

    def round_trip(self, strategy: str) -> RoundTrip | None:
        """Return the round trip to ``strategy`` if it worked."""
        return next((trip for trip in self.comparison.round_trips if trip.strategy == strategy and trip.works), None)

    def trial(self, strategy: str, tasks: int) -> Trial | None:
        found = (t for t in self.result.trials if t.strategy == strategy and t.concurrency == tasks)
        return next(found, None)

    def measure(self, strategy: str, tasks: int) -> Measure | None:
        """Return what was measured, or ``None`` if the trial did not finish."""
        trial = self.trial(strategy, tasks)
        return None if trial is None else trial.measure

    def p99(self, strategy: str) -> float | None:
        """Return the p99 lag that the loop had beside one worker."""
        measure = self.measure(strategy, 1)
        return None if measure is None else measure.lag.p99

    def speeds(self, *trials: tuple[str, int]) -> list[float | None]:
        """Return the calls a second of trials by strategy and number of tasks, so that they can be compared.

        They are at the machine's typical speed, without slices in which other programs had the cores; but as they were
        measured if one of the trials has no baseline, as those of an executor of the user's. ``None`` for no calls.
        """
        measured = [trial for trial in trials if self.measure(*trial) is not None]
        works = {trial: figure.value for trial in measured if (figure := self.work(*trial)) is not None}
        if all(works.get(trial) for trial in measured):
            return [works[trial] * self._typical_rate if trial in works else None for trial in trials]
        measures = (self.measure(*trial) for trial in trials)
        return [None if measure is None or not measure.rate else measure.rate for measure in measures]

    def work(self, strategy: str, tasks: int) -> Work | None:
        """Return the calls done for each step of the baseline, or ``None`` if the trial has no baseline."""
        trial = self.trial(strategy, tasks)
        return None if trial is None else work(trial, own_task=False)

    @property
    def _typical_rate(self) -> float:
        """The median speed of the machine in the trials, in steps of the baseline for a second of CPU time."""
        measures = [trial.measure for trial in self.result.trials if trial.measure is not None]
        return median(mean_rate(measure.baseline_slices) for measure in measures if measure.baseline_slices is not None)

    def gain(self, strategy: str, tasks: int | None = None) -> float | None:
        """Return the calls a second of the trial of ``tasks`` calls at once, relative to those of one call after another.

        ``tasks`` is that of the widest trial by default. ``None`` if the gain is not known, or cannot be relied on.
        """
        tasks = tasks or self.widest
        one, many = self.speeds((strategy, 1), (strategy, tasks))
        measures = self.measure(strategy, 1), self.measure(strategy, tasks)
        if one is None or many is None or any(measure is not None and measure.baseline_lost for measure in measures):
            return None
        works = self.work(strategy, 1), self.work(strategy, tasks)
        if works[0] is not None and works[1] is not None:
            possible = MAX_WORK_OF_A_CORE * works[1].cores / works[0].cores
            if works[0].doubt or works[1].doubt or many / one > possible:
                return None
        return many / one

    def wanted_cores(self, strategy: str, tasks: int) -> float | None:
        """Return how many cores a trial used or queued for: what it would use on a machine with cores to spare."""
        measure = self.measure(strategy, tasks)
        if measure is None or measure.cpu is None or measure.queued is None:
            return None
        return (measure.cpu + measure.queued) / measure.elapsed

    def fastest(self, strategies: Collection[str]) -> list[str]:
        """Return the strategy whose widest trial is the fastest, and the others within noise of it, in the given order.

        Noise is 15 %, or the spread of the calls.
        """
        speeds = dict(zip(strategies, self.speeds(*((name, self.widest) for name in strategies)), strict=True))
        first = max(strategies, key=lambda name: speeds[name] or 0.0)
        highest, spread = speeds[first] or 0.0, self._spread(first)
        return [
            name
            for name in strategies
            if name == first
            or highest - (speeds[name] or 0.0) <= max(SPEED_NOISE_SHARE, spread, self._spread(name)) * highest
        ]

    def _spread(self, strategy: str) -> float:
        """Return how much slower than usual (p50) the slow calls (p90) of the widest trial were; at most a half.

        If the machine's speed moved too often to be known, half.
        """
        measure, figure = self.measure(strategy, self.widest), self.work(strategy, self.widest)
        if figure is not None and figure.doubt:
            return MAX_SPREAD
        if measure is None or measure.call is None or not measure.call.p50:
            return 0.0
        return min(MAX_SPREAD, measure.call.p90 / measure.call.p50 - 1)


def overhead(trip: RoundTrip) -> float:
    """Return the overhead of a call: its CPU time if known, which compares with a verdict's duration, else its time."""
    return trip.overhead or 0.0 if trip.overhead_cpu is None else trip.overhead_cpu


def pickle_stall(trip: RoundTrip) -> float:
    """Return the longest time for which pickle keeps the caller's loop waiting."""
    return max(trip.pickling or 0.0, trip.unpickling or 0.0)
