"""Two runs of a case: what changed, and whether that is more than either run varies by itself.

A run is cut into ten stretches of equal time, and a figure is taken in each. The figure of the run is their median; its
spread reaches from the second lowest to the second highest, so that one odd stretch at either end does not count. Two runs
differ where their spreads have a gap between them and the medians differ by more than a floor, below which a change says
more about the machine's minute than about the code.

The stretches of one run share its minute, so they cannot show what another minute would have brought. Where other programs
kept the processors busy, only a large difference counts, and only if they were as busy in both runs; where the tasks were of
different sizes, none does. A difference that does not count is shown, with the doubt.
docs/pictures.md has how often two runs of the same code are called different.
"""

from __future__ import annotations

import math
import statistics
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.result import Bins, Lane, Measure, Result, Trial

STRETCHES = 10
LEAST_LAG = 0.002
"""Lags closer than this are alike: the selector rounds its waits to whole milliseconds, on either side."""
LEAST_SHARE = 0.1
"""Shares of ticks closer than this are alike."""
LEAST_RATIO = 1.25
"""Figures whose ratio is less than this are alike."""
CROWDED_RATIO = 6
"""The same on a machine that other programs keep busy."""


class Spread(NamedTuple):
    """A figure of one run: its median over the stretches, and where all but the odd ones lie."""

    low: float
    median: float
    high: float


class Change(NamedTuple):
    """One figure of one case, before and after.

    ``beyond`` is whether they differ by more than the runs' own spread; ``doubt`` is why that is not to be trusted, and
    empty where it is.
    """

    case: str
    figure: str
    before: Spread
    after: Spread
    beyond: bool
    doubt: str

    @property
    def ratio(self) -> float | None:
        """After over before, or ``None`` where before is zero."""
        return self.after.median / self.before.median if self.before.median else None


def changes(before: Result, after: Result) -> list[Change]:
    """Return every figure of every case that both runs measured, in the order of ``before``."""
    later = {trial.case: trial for trial in (after.idle, *after.trials)}
    found = []
    for first in (before.idle, *before.trials):
        second = later.get(first.case)
        if second is None or first.measure is None or second.measure is None:
            continue
        for name, (figure, least) in FIGURES.items():
            one, other = figure(first), figure(second)
            if one is not None and other is not None:
                ratio = _times(one.median, other.median)
                doubt = _other_sizes(first, second) or _other_programs(first.measure, second.measure, ratio)
                found.append(Change(first.case, name, one, other, _apart(one, other, least), doubt))
    return found


def _other_sizes(first: Trial, second: Trial) -> str:
    if _times(first.count, second.count) <= LEAST_RATIO:
        return ""
    return f"a task had {first.count:,} steps before and {second.count:,} after (give --count)"


def _other_programs(first: Measure, second: Measure, ratio: float) -> str:
    """Tell why a difference by ``ratio`` may be other programs' doing, if it may."""
    if not (_crowded(first) or _crowded(second)):
        return ""
    before, after = first.others or 0.0, second.others or 0.0
    if abs(before - after) < 0.1 and ratio > CROWDED_RATIO:
        return ""
    took = f"other programs took {before:.0%} of the processors' time before and {after:.0%} after"
    return f"{took}; only a ratio over {CROWDED_RATIO} would count" if abs(before - after) < 0.1 else took


def _crowded(measure: Measure) -> bool:
    """Whether other programs took more than a little, and left so little that they were in the way."""
    if measure.others is None or measure.spare is None:
        return False
    return measure.others > 0.1 and measure.spare < 0.25


def _times(one: float, other: float) -> float:
    """Return how many times the smaller is in the larger."""
    low, high = sorted((one, other))
    return high / low if low > 0 else math.inf


def came(trial: Trial) -> Spread | None:
    """Return the share of the due ticks that came."""
    ticks = _measure(trial).ticks
    counts = [(sum(ticks.due[i] for i in part), sum(ticks.came[i] for i in part)) for part in _stretches(ticks.due)]
    return _spread([came / due for due, came in counts if due])


def typical_lag(trial: Trial) -> Spread | None:
    """Return the median lag in a stretch, in seconds (of bins, each with its worst lag)."""
    return _spread([statistics.median(lags) for lags in _lags(_measure(trial).ticks)])


def worst_lag(trial: Trial) -> Spread | None:
    """Return the worst lag in a stretch, in seconds."""
    return _spread([max(lags) for lags in _lags(_measure(trial).ticks)])


def throughput(trial: Trial) -> Spread | None:
    """Return the steps done a second in a stretch; a task counts by the share of its time that it spent there."""
    measure = _measure(trial)
    if not measure.lanes:
        return None
    width = measure.elapsed / STRETCHES
    tasks = [sum(_done(lane, i * width, width) for lane in measure.lanes) for i in range(STRETCHES)]
    return _spread([done * trial.count / width for done in tasks])


FIGURES: dict[str, tuple[Callable[[Trial], Spread | None], float]] = {
    "came": (came, LEAST_SHARE),
    "lag": (typical_lag, LEAST_LAG),
    "worst lag": (worst_lag, LEAST_LAG),
    "steps/s": (throughput, 0.0),
}
"""Each figure, with the difference below which two are alike."""


def _apart(one: Spread, other: Spread, least: float) -> bool:
    low, high = sorted((one, other), key=lambda spread: spread.median)
    far = high.median - low.median > least and _times(low.median, high.median) > LEAST_RATIO
    return high.low > low.high and far


def _spread(values: list[float]) -> Spread | None:
    """Return the spread of a figure's values in the stretches; ``None`` where there are too few to tell one."""
    if len(values) < STRETCHES // 2:
        return None
    ordered = sorted(values)
    return Spread(ordered[1], statistics.median(ordered), ordered[-2])


def _measure(trial: Trial) -> Measure:
    assert trial.measure is not None  # noqa: S101 - told apart by the caller
    return trial.measure


def _lags(ticks: Bins) -> list[list[float]]:
    stretches = [[ticks.worst[i] for i in stretch if ticks.due[i]] for stretch in _stretches(ticks.due)]
    return [lags for lags in stretches if lags]


def _stretches(bins: list[int]) -> list[range]:
    edges = [len(bins) * i // STRETCHES for i in range(STRETCHES + 1)]
    return [range(first, end) for first, end in pairwise(edges)]


def _done(lane: Lane, begin: float, width: float) -> float:
    """Return the tasks that ``lane`` did from ``begin`` on."""
    done = 0.0
    for first, last, tasks in zip(lane.begin, lane.end, lane.tasks, strict=True):
        inside = min(last, begin + width) - max(first, begin)
        if inside > 0:
            done += tasks * inside / (last - first)
    return done
