"""The work of a trial, relative to one task alone on the same cores at the same time, and whether it can be relied on.

``work`` is efficiency times cores. The efficiency compares a CPU second of the trial with a CPU second of one task alone,
measured on the same cores before and after each slice of the trial: so neither a changing clock rate nor the programs on
other cores count. The cores are those that the trial kept busy in its good slices, in which other programs left it the
cores that it wanted.
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
SHORT = "it ran too briefly: give --seconds 1 or more"
MAX_OTHERS_SHARE = 0.1
MIN_IDLE_SHARE = 0.25
MIN_GOOD_SLICES = 5
"""Half a second of a trial."""
MIN_SHARE_OF_MEAN_SLICE = 0.25
"""Shorter slices do not count: the last slice of a trial can be of any length."""


class Work(NamedTuple):
    """A trial's work a second, its quartiles over the slices, and the cores that were busy meanwhile."""

    value: float
    low: float
    high: float
    cores: float
    doubt: str = ""
    """Why the figure cannot be relied on, or empty."""


def work(trial: Trial, *, own_task: bool = True) -> Work | None:
    """Return the work of a trial, or ``None`` if it has no baseline.

    Without ``own_task`` the baseline is another task, which measures only the machine's speed, and the cores that the trial
    wants are not certain: the work is then in calls for each step of that task.
    """
    measure = trial.measure
    if measure is None or measure.baseline_slices is None or not sum(measure.baseline_slices.cpu):
        return None
    baseline = measure.baseline_slices
    expected = mean_rate(baseline) * sum(baseline.cpu)
    efficiency = measure.tasks * trial.count / expected
    every = _cores(baseline)
    good = [cores for cores in every if cores >= GOOD_SHARE * baseline.cores]
    enough = len(good) >= MIN_GOOD_SLICES
    low, cores, high = _quartiles(good if enough else every)
    error = _error(baseline, expected)
    figure = Work(efficiency * cores, efficiency * low * (1 - error), efficiency * high * (1 + error), cores)
    if 2 * error > MAX_BASELINE_ERROR:
        return figure._replace(doubt=MOVED)
    if own_task and len(every) < MIN_GOOD_SLICES:
        return figure._replace(doubt=SHORT)
    if not enough and (own_task or crowded(measure)):
        return figure._replace(doubt=BUSY)
    return figure._replace(doubt=_impossible(figure.value, cores)) if own_task else figure


def undisturbed_work(trial: Trial) -> float | None:
    """Return the work that a trial would have done with a core whenever it wanted one; ``None`` if that is uncertain.

    A thread that waits for the GIL wakes at every switch interval, and queues for a core that it does not need. Only threads
    that computed in a slice count; if threads take turns at the GIL within a slice, this is still too much.
    """
    figure, measure = work(trial), trial.measure
    if figure is None or measure is None or measure.baseline_slices is None or figure.doubt not in ("", BUSY):
        return None
    baseline = measure.baseline_slices
    slices = zip(baseline.cpu, baseline.queued, baseline.elapsed, strict=True)
    wanted = statistics.median((cpu + queued) / elapsed for cpu, queued, elapsed in slices if elapsed)
    return figure.value / figure.cores * wanted if figure.cores else None


def crowded(measure: Measure) -> bool:
    """Whether other programs used the cores, and left too little of them idle."""
    if measure.others_share is None or measure.idle_share is None:
        return False
    return measure.others_share > MAX_OTHERS_SHARE and measure.idle_share < MIN_IDLE_SHARE


def work_without_baseline(measure: Measure, alone: float) -> Work:
    """Return the work of a trial relative to ``alone``, the rate of one task that was measured at another time."""
    cores = math.inf if measure.cpu is None else measure.cpu / measure.elapsed
    value = measure.rate / alone
    return Work(value, value, value, cores, _impossible(value, cores))


def mean_rate(baseline: Baseline) -> float:
    """Return the steps of one task alone in a second of CPU time, on average over the trial."""
    whole = sum(baseline.cpu)
    return sum(cpu * rate for cpu, rate in zip(baseline.cpu, baseline.rate, strict=True)) / whole if whole else 0.0


def _cores(baseline: Baseline) -> list[float]:
    """Return the busy cores in each slice that is not too short."""
    shortest = MIN_SHARE_OF_MEAN_SLICE * statistics.mean(baseline.elapsed)
    slices = zip(baseline.cpu, baseline.elapsed, strict=True)
    return [cpu / elapsed for cpu, elapsed in slices if elapsed > shortest]


def _error(baseline: Baseline, expected: float) -> float:
    """Return the relative standard error of the baseline: within a slice, it may have moved at any moment."""
    slices = zip(baseline.cpu, baseline.rate, baseline.change, strict=True)
    return math.sqrt(sum((cpu * rate * change / 2) ** 2 for cpu, rate, change in slices)) / expected


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    low, median, high = statistics.quantiles(values, method="inclusive") if len(values) > 1 else values * 3
    return low, median, high


def _impossible(value: float, cores: float) -> str:
    if value <= cores * MAX_WORK_OF_A_CORE:
        return ""
    return "it is more than the busy cores can do, so the machine's speed changed after the baseline was measured"
