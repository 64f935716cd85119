"""Two runs of a case: what changed, and whether the change is larger than the variation within each run.

A run is cut into ten parts of equal time, and each figure is taken in each part. The figure of the run is their median; its
spread is from the second lowest to the second highest, so that one odd part at either end does not count. Two runs differ
if their spreads do not overlap and their medians differ by more than a minimum: a smaller change says more about the
machine at that minute than about the code.

The parts of one run share one minute, so they cannot show what another minute would have brought. If other programs kept
the cores busy, only a large difference counts, and only if they were as busy in both runs. If the tasks were of different
sizes, no difference counts. A difference that does not count is shown, with the reason.
docs/pictures.md says how often two runs of the same code are called different.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from gilscope.formatting import counted
from gilscope.records.result import Trial
from gilscope.trial.work import MAX_BASELINE_ERROR, crowded, mean_rate, work

if TYPE_CHECKING:
    from gilscope.records.result import Bins, Lane, Measure, Result

PARTS = 10
MIN_LAG_CHANGE_SECONDS = 0.002
"""The selector rounds its waits to whole milliseconds, in both runs."""
MIN_SHARE_CHANGE = 0.1
MIN_WORK_CHANGE = 0.1
MIN_RATIO = 1.25
MIN_RATIO_IF_BUSY = 6
"""The same on a machine that other programs keep busy."""


class Spread(NamedTuple):
    """A figure of one run: its median over the parts, and the range of all parts but the lowest and the highest."""

    low: float
    median: float
    high: float
    doubt: str = ""
    """Why the figure cannot be relied on, or empty."""


class Change(NamedTuple):
    """One figure of one case, before and after.

    ``beyond`` is whether they differ by more than the runs' own spread. ``doubt`` is why that does not count, or empty.
    """

    case: str
    figure: str
    before: Spread
    after: Spread
    beyond: bool
    doubt: str

    @property
    def ratio(self) -> float | None:
        """After divided by before, or ``None`` if before is zero."""
        return self.after.median / self.before.median if self.before.median else None


def changes(before: Result, after: Result) -> list[Change]:
    """Return every figure of every case that both runs measured, in the order of ``before``."""
    later = {trial.case: trial for trial in (after.idle, *after.trials)}
    figures = FIGURES if before.comparison is None else _figures_of_comparisons(before, after)
    found = []
    for first in (before.idle, *before.trials):
        second = later.get(first.case)
        if second is None or first.measure is None or second.measure is None:
            continue
        for name, (figure, least) in figures.items():
            one, other = figure(first), figure(second)
            if one is not None and other is not None and not (name in CORRECTED and _other_baseline(first, second)):
                doubt = _doubt(name, (first, one), (second, other))
                found.append(Change(first.case, name, one, other, _apart(one, other, least), doubt))
    return found


def _figures_of_comparisons(before: Result, after: Result) -> dict[str, tuple[Figure, float]]:
    """Return :data:`FIGURES` for comparisons: a trial counts each call as one step, and its baseline is another task."""
    baselines = [
        trial.measure.baseline_slices for trial in (*before.trials, *after.trials) if trial.measure is not None
    ]
    rates = [mean_rate(baseline) for baseline in baselines if baseline is not None]
    at_one_speed = partial(calls_at_one_speed, rate=statistics.median(rates) if rates else 0.0)
    names = {"steps/s": "calls/s"}
    figures = {names.get(name, name): figure for name, figure in FIGURES.items() if name != "work"}
    return {**figures, CALLS_AT_ONE_SPEED: (at_one_speed, 0.0)}


def _doubt(figure: str, before: tuple[Trial, Spread], after: tuple[Trial, Spread]) -> str:
    """Return why a difference of ``figure`` does not count, or an empty string."""
    (first, one), (second, other) = before, after
    if figure in CORRECTED:
        return _doubtful(one, other)
    if sizes := _other_sizes(first, second):
        return sizes
    other_programs = _other_programs(_measure(first), _measure(second), _times(one.median, other.median))
    return other_programs or (_other_speed(first, second) if figure in ("steps/s", "calls/s") else "")


def _doubtful(before: Spread, after: Spread) -> str:
    """Return in which of the runs a figure cannot be relied on, and why, or an empty string."""
    if before.doubt == after.doubt:
        return before.doubt and f"in both runs, {before.doubt}"
    return f"before, {before.doubt}" if before.doubt else f"after, {after.doubt}"


def _other_baseline(first: Trial, second: Trial) -> bool:
    """Whether the baselines of two trials are different tasks, or one trial has none."""
    before, after = _measure(first).baseline_slices, _measure(second).baseline_slices
    return before is None or after is None or before.task != after.task


def _other_speed(first: Trial, second: Trial) -> str:
    """Return by how much one task alone was faster in one of the runs, or an empty string if it hardly was."""
    before, after = _measure(first).baseline_slices, _measure(second).baseline_slices
    if (
        before is None
        or after is None
        or _other_baseline(first, second)
        or not (mean_rate(before) and mean_rate(after))
    ):
        return ""
    times = mean_rate(after) / mean_rate(before)
    if _times(1.0, times) <= 1 + MAX_BASELINE_ERROR:
        return ""
    return f"one task alone was {times:.2f} times as fast after: the machine's speed changed, or Python's"


def _other_sizes(first: Trial, second: Trial) -> str:
    if _times(first.count, second.count) <= MIN_RATIO:
        return ""
    before, after = counted(first.count, "step"), counted(second.count, "step")
    return f"a task had {before} before and {after} after (give --count)"


def _other_programs(first: Measure, second: Measure, ratio: float) -> str:
    """Return why other programs may have caused a difference by ``ratio``, or an empty string."""
    if not (crowded(first) or crowded(second)):
        return ""
    before, after = first.others_share or 0.0, second.others_share or 0.0
    if abs(before - after) < 0.1 and ratio > MIN_RATIO_IF_BUSY:
        return ""
    took = f"other programs used {before:.0%} of the CPU time before and {after:.0%} after"
    return f"{took}; only a ratio over {MIN_RATIO_IF_BUSY} would count" if abs(before - after) < 0.1 else took


def _times(one: float, other: float) -> float:
    """Return the larger number divided by the smaller."""
    low, high = sorted((one, other))
    return high / low if low > 0 else math.inf


def came(trial: Trial) -> Spread | None:
    """Return the share of the due ticks that were not missed."""
    ticks = _measure(trial).ticks
    counts = [(sum(ticks.due[i] for i in part), sum(ticks.came[i] for i in part)) for part in _parts(ticks.due)]
    return _spread([came / due for due, came in counts if due])


def typical_lag(trial: Trial) -> Spread | None:
    """Return the median of the bins' worst lags in each part, in seconds."""
    return _spread([statistics.median(lags) for lags in _lags(_measure(trial).ticks)])


def worst_lag(trial: Trial) -> Spread | None:
    """Return the worst lag in each part, in seconds."""
    return _spread([max(lags) for lags in _lags(_measure(trial).ticks)])


def throughput(trial: Trial) -> Spread | None:
    """Return the steps a second in each part. A task counts by the share of its time that lies in the part."""
    measure = _measure(trial)
    if not measure.lanes:
        return None
    width = measure.elapsed / PARTS
    tasks = [sum(_done(lane, i * width, width) for lane in measure.lanes) for i in range(PARTS)]
    return _spread([done * trial.count / width for done in tasks])


def relative_work(trial: Trial) -> Spread | None:
    """Return the work relative to one task alone at the same time; its spread is the quartiles over the trial's slices."""
    figure = work(trial)
    return None if figure is None else Spread(figure.low, figure.value, figure.high, figure.doubt)


def calls_at_one_speed(trial: Trial, *, rate: float) -> Spread | None:
    """Return the calls a second on a machine that does ``rate`` steps of the baseline in a second of CPU time."""
    figure = work(trial, own_task=False)
    return None if figure is None else Spread(figure.low * rate, figure.value * rate, figure.high * rate, figure.doubt)


Figure = Callable[[Trial], Spread | None]
CALLS_AT_ONE_SPEED = "same speed"
CORRECTED = ("work", CALLS_AT_ONE_SPEED)
"""The figures that other programs, the machine's speed and the size of a task do not change."""
FIGURES: dict[str, tuple[Figure, float]] = {
    "came": (came, MIN_SHARE_CHANGE),
    "lag": (typical_lag, MIN_LAG_CHANGE_SECONDS),
    "worst lag": (worst_lag, MIN_LAG_CHANGE_SECONDS),
    "steps/s": (throughput, 0.0),
    "work": (relative_work, MIN_WORK_CHANGE),
}
"""Each figure, with the smallest difference that counts."""


def _apart(one: Spread, other: Spread, least: float) -> bool:
    low, high = sorted((one, other), key=lambda spread: spread.median)
    far = high.median - low.median > least and _times(low.median, high.median) > MIN_RATIO
    return high.low > low.high and far


def _spread(values: list[float]) -> Spread | None:
    """Return the spread of a figure's values in the parts; ``None`` if there are too few."""
    if len(values) < PARTS // 2:
        return None
    ordered = sorted(values)
    return Spread(ordered[1], statistics.median(ordered), ordered[-2])


def _measure(trial: Trial) -> Measure:
    assert trial.measure is not None  # noqa: S101 - the caller has seen to it
    return trial.measure


def _lags(ticks: Bins) -> list[list[float]]:
    parts = [[ticks.worst[i] for i in part if ticks.due[i]] for part in _parts(ticks.due)]
    return [lags for lags in parts if lags]


def _parts(bins: list[int]) -> list[range]:
    edges = [len(bins) * i // PARTS for i in range(PARTS + 1)]
    return [range(first, end) for first, end in pairwise(edges)]


def _done(lane: Lane, begin: float, width: float) -> float:
    """Return how many tasks ``lane`` did in the ``width`` seconds from ``begin`` on."""
    done = 0.0
    for first, last, tasks in zip(lane.begin, lane.end, lane.tasks, strict=True):
        inside = min(last, begin + width) - max(first, begin)
        if inside > 0:
            done += tasks * inside / (last - first)
    return done
