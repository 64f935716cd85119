"""What the records of a comparison say: one strategy against another, and against the call alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gilscope.records.comparison import Comparison, Passage
    from gilscope.records.result import Measure, Result, Trial
    from gilscope.records.verdict import Verdict

NOISE = 0.15
"""Speeds that differ by less are the same, however steady the calls look: a machine's clock alone varies as much."""
TURNS = 3
"""Turns of the loop that a sleep of its own may take to be noticed, to be done and to have its task resumed."""


@dataclass(frozen=True)
class Compared:
    """A result of the kind ``compare``, by strategy and number of tasks at once."""

    result: Result

    @property
    def comparison(self) -> Comparison:
        if self.result.comparison is None:
            raise ValueError(f"a result of the kind {self.result.kind} compares no strategies")
        return self.result.comparison

    @property
    def verdict(self) -> Verdict:
        return self.comparison.verdict

    @property
    def hogged(self) -> float:
        """The share of a call in which the GIL is given to nobody; none of it where there is no GIL."""
        return self.verdict.hogged or 0.0

    @property
    def stretch(self) -> float:
        """The longest time for which nobody is given the GIL, where that is more than a switch between threads takes."""
        return (self.verdict.longest_hold or 0.0) if self.verdict.long_holds else 0.0

    @property
    def widest(self) -> int:
        """As many tasks as there are cores, or two."""
        return self.comparison.concurrency[-1]

    @property
    def workers(self) -> int:
        """How many workers leave a core to the loop."""
        return max(1, int(self.result.machine.cores) - 1)

    @property
    def busy(self) -> bool:
        """Whether other programs had the processors for a good part of what one call after another wanted."""
        alone = self.measure("inline", 1) or self.measure("thread", 1)
        return alone is not None and bool(alone.queued and alone.cpu is not None and alone.queued >= alone.cpu / 4)

    @property
    def short(self) -> bool:
        """Whether a call on the loop keeps it waiting within the budget: by its length, and as far as that was measured.

        A timer's task gets its turn after up to :data:`TURNS` turns of the loop, each of which may hold a call; a call so
        short that those fit is not put off by what else made the loop late.
        """
        call, budget = self.verdict.duration, self.comparison.budget
        if call > budget:
            return False
        inline = self.measure("inline", 1)
        if inline is None or inline.lag.p99 is None or self.busy:
            return True
        return inline.lag.p99 <= budget or TURNS * call <= budget

    def passage(self, strategy: str) -> Passage | None:
        """Return the passage to ``strategy`` if the call makes it there and back."""
        found = (passage for passage in self.comparison.passages if passage.strategy == strategy and passage.travels)
        return next(found, None)

    def trial(self, strategy: str, tasks: int) -> Trial | None:
        found = (t for t in self.result.trials if t.strategy == strategy and t.concurrency == tasks)
        return next(found, None)

    def measure(self, strategy: str, tasks: int) -> Measure | None:
        """Return what was measured, or ``None`` where that trial did not run to its end."""
        trial = self.trial(strategy, tasks)
        return None if trial is None else trial.measure

    def speed(self, strategy: str, tasks: int) -> float | None:
        """Return the calls a second."""
        measure = self.measure(strategy, tasks)
        return None if measure is None or not measure.rate else measure.rate

    def gain(self, strategy: str) -> float | None:
        """Return the calls a second of the widest trial, against one call after another in the same place."""
        one, many = self.speed(strategy, 1), self.speed(strategy, self.widest)
        return None if one is None or many is None else many / one

    def wanted(self, strategy: str, tasks: int) -> float | None:
        """Return how many cores it kept busy or queued for: what it would use on a machine with cores to spare."""
        measure = self.measure(strategy, tasks)
        if measure is None or measure.cpu is None or measure.queued is None:
            return None
        return (measure.cpu + measure.queued) / measure.elapsed

    def alike(self, one: str, other: str) -> bool:
        """Whether the speeds of two strategies' widest trials are within noise: 15 %, or the spread of their calls."""
        speeds = [self.speed(strategy, self.widest) for strategy in (one, other)]
        spreads = [_spread(self.measure(strategy, self.widest)) for strategy in (one, other)]
        if speeds[0] is None or speeds[1] is None:
            return False
        return abs(speeds[0] - speeds[1]) <= max(NOISE, *spreads) * max(speeds[0], speeds[1])


def cost(passage: Passage) -> float:
    """Return what the way there and back costs a call: in processor time, as a verdict's duration is, where it is known."""
    return passage.carried or 0.0 if passage.computing is None else passage.computing


def _spread(measure: Measure | None) -> float:
    """Return by how much the slow calls (p90) were slower than the usual one (p50), relative to it; at most a half."""
    return (
        0.0
        if measure is None or measure.call is None or not measure.call.p50
        else min(0.5, measure.call.p90 / measure.call.p50 - 1)
    )
