"""The work of a trial, relative to one task alone on the same cores at the same time, and whether it can be relied on.

``work`` is efficiency times cores times the gain of a core. The efficiency compares a CPU second of the trial with a CPU
second of one task on each of the same cores, measured before and after each slice of the trial: so neither a changing clock
rate nor the programs on other cores count. The cores are those that the trial kept busy in its good slices, in which other
programs left it the cores that it wanted. The gain of a core is the speed of these tasks relative to one task alone: less
than 1 if the cores are threads of one physical core.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gilscope.records.result import Baseline, Measure, Trial

GOOD_SHARE = 0.9
"""A slice of a trial is good if the trial had this share of the cores that it wanted."""
MAX_WORK_OF_A_CORE = 1.1
"""More work than this for each busy core is impossible: the baseline must be wrong."""
MAX_BASELINE_ERROR = 0.15
"""The largest acceptable error of the baseline: two standard errors, from how it moved within the slices."""
BUSY = "other programs used the cores nearly all the time"
MOVED = f"the machine's speed changed too often: the baseline is uncertain by more than {MAX_BASELINE_ERROR:.0%}"
MIN_GAIN_OF_A_CORE = 0.85
"""If tasks on several cores at once run at less than this speed, relative to one alone, the cores are not whole ones."""
SHARED = "the cores slowed each other down, as threads of one physical core do"
LOST = "one task alone could not be measured within the trial, only at the start"
SHORT = "it ran too briefly: give --seconds 1 or more"
MAX_OTHERS_SHARE = 0.1
MIN_IDLE_SHARE = 0.25
MIN_GOOD_SLICES = 5
"""Half a second of a trial."""
MIN_SHARE_OF_MEDIAN_SLICE = 0.25
"""Shorter slices do not count: the last slice of a trial can be of any length."""


class Work(NamedTuple):
    """A trial's work a second, its quartiles over the slices, and the cores that were busy meanwhile."""

    value: float
    low: float
    high: float
    cores: float
    doubt: str = ""
    """Why the figure cannot be relied on, or empty."""
    gain: float = 1.0
    """The speed of a task on each of these cores at once, relative to one task alone."""


def work(trial: Trial, *, own_task: bool = True) -> Work | None:
    """Return the work of a trial, or ``None`` if it has no baseline.

    Without ``own_task`` the baseline is another task, which measures only the machine's speed, and the cores that the trial
    wants are not certain: the work is then in calls for each step of that task.
    """
    measure = trial.measure
    if measure is None or measure.baseline_slices is None or not sum(measure.baseline_slices.cpu):
        return None
    baseline = measure.baseline_slices
    expected = sum(cpu * rate for cpu, rate in zip(baseline.cpu, baseline.together, strict=True))
    every = _slices(baseline)
    good = [piece for piece in every if piece.cores >= GOOD_SHARE * baseline.cores]
    enough = len(good) >= MIN_GOOD_SLICES
    counted = good if enough else every
    low, cores, high = _quartiles([piece.cores for piece in counted])
    alone = sum(piece.alone for piece in counted)
    gain = sum(piece.together for piece in counted) / alone if alone else 1.0
    worth = measure.tasks * trial.count / expected * gain
    error = _error(baseline)
    figure = Work(worth * cores, worth * low * (1 - error), worth * high * (1 + error), cores, gain=gain)
    if 2 * error > MAX_BASELINE_ERROR:
        return figure._replace(doubt=MOVED)
    if own_task and len(every) < MIN_GOOD_SLICES:
        return figure._replace(doubt=SHORT)
    if not enough and (own_task or crowded(measure)):
        return figure._replace(doubt=BUSY)
    if gain < MIN_GAIN_OF_A_CORE:
        return figure._replace(doubt=SHARED)
    return figure._replace(doubt=_impossible(figure.value, cores)) if own_task else figure


def undisturbed_work(trial: Trial) -> float | None:
    """Return the work that a trial would have done with a whole core whenever it wanted one; ``None`` if that is uncertain.

    A thread that waits for the GIL wakes at every switch interval, and queues for a core that it does not need. Only threads
    that computed in a slice count; if threads take turns at the GIL within a slice, this is still too much.
    """
    figure, measure = work(trial), trial.measure
    if figure is None or measure is None or measure.baseline_slices is None or figure.doubt not in ("", BUSY, SHARED):
        return None
    if figure.doubt != BUSY:
        return figure.value / figure.gain
    baseline = measure.baseline_slices
    slices = zip(baseline.cpu, baseline.queued, baseline.elapsed, strict=True)
    wanted = statistics.median((cpu + queued) / elapsed for cpu, queued, elapsed in slices if elapsed)
    return figure.value / figure.gain / figure.cores * wanted if figure.cores else None


def crowded(measure: Measure) -> bool:
    """Whether other programs used the cores, and left too little of them idle."""
    if measure.others_share is None or measure.idle_share is None:
        return False
    return measure.others_share > MAX_OTHERS_SHARE and measure.idle_share < MIN_IDLE_SHARE


def work_without_baseline(measure: Measure, alone: float) -> Work:
    """Return the work of a trial relative to ``alone``, the rate of one task that was measured at another time."""
    cores = math.inf if measure.cpu is None else measure.cpu / measure.elapsed
    value = measure.rate / alone
    lost = measure.baseline_lost or measure.baseline_slices is not None  # in slices without CPU time
    return Work(value, value, value, cores, LOST if lost else _impossible(value, cores))


def mean_rate(baseline: Baseline) -> float:
    """Return the steps of one task alone in a second of CPU time, on average over the trial."""
    whole = sum(baseline.cpu)
    return sum(cpu * rate for cpu, rate in zip(baseline.cpu, baseline.rate, strict=True)) / whole if whole else 0.0


class _Slice(NamedTuple):
    """The cores that were busy in a slice, and the steps that one task does in its CPU time."""

    cores: float
    alone: float
    together: float


def _slices(baseline: Baseline) -> list[_Slice]:
    """Return the slices that are not too short."""
    shortest = MIN_SHARE_OF_MEDIAN_SLICE * statistics.median(baseline.elapsed)
    slices = zip(baseline.elapsed, baseline.cpu, baseline.rate, baseline.together, strict=True)
    return [
        _Slice(cpu / elapsed, cpu * alone, cpu * together)
        for elapsed, cpu, alone, together in slices
        if elapsed > shortest
    ]


def _error(baseline: Baseline) -> float:
    """Return the relative standard error of the baseline: within a slice, it may have moved at any moment."""
    steps = [cpu * rate for cpu, rate in zip(baseline.cpu, baseline.rate, strict=True)]
    moved = sum((steps * change / 2) ** 2 for steps, change in zip(steps, baseline.change, strict=True))
    return math.sqrt(moved) / sum(steps)


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    low, median, high = statistics.quantiles(values, method="inclusive") if len(values) > 1 else values * 3
    return low, median, high


def _impossible(value: float, cores: float) -> str:
    if value <= cores * MAX_WORK_OF_A_CORE:
        return ""
    return "it is more than the busy cores can do, so the machine's speed changed after the baseline was measured"
