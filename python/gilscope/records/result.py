"""What the trials of a run measured. Durations are in seconds, shares from 0 to 1."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from gilscope.records.base import SCHEMA, Amount, AtLeastOne, Count, Positive, Record, must_be_as_long
from gilscope.records.comparison import Comparison
from gilscope.records.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.finding import Recommendation


class Plan(Record, frozen=True, kw_only=True):
    """How a run was asked to measure."""

    seconds: Positive = 2.0
    """How long each case starts new tasks."""
    concurrency: AtLeastOne = 2
    """Tasks at once."""
    tick: Positive = 0.01
    """The ticker's period."""
    duration: Positive = 0.2
    """How long one task alone is calibrated to take; unused if ``count`` is given."""
    count: AtLeastOne | None = None
    """Steps of a task, instead of a calibrated number."""
    timeout: Positive = 62.0
    """Seconds after which a case is ended from outside."""


class Lag(Record, frozen=True, kw_only=True):
    """How late the event loop ran its ticks: ``due`` ticks were due, and ``came`` of them were not missed.

    The quantiles are over all ticks that were due. A missed tick counts with the lateness that it had when the loop ran
    again. All quantiles are ``None`` if no tick was due.
    """

    due: Count
    came: Count
    p50: Amount | None
    p90: Amount | None
    p99: Amount | None
    max: Amount | None


class Bins(Record, frozen=True, kw_only=True):
    """The ticks over time: bin ``i`` has those due from ``i * width`` to ``(i + 1) * width`` after the start."""

    width: Positive
    due: list[Count]
    came: list[Count]
    worst: list[Amount]
    """The worst lag in each bin."""

    def __post_init__(self) -> None:
        must_be_as_long(due=self.due, came=self.came, worst=self.worst)


class Times(Record, frozen=True, kw_only=True):
    """How long something took each time."""

    p50: Amount
    p90: Amount
    max: Amount


class Lane(Record, frozen=True, kw_only=True):
    """The tasks that one thread ran: span ``i`` is from ``begin[i]`` to ``end[i]`` after the start.

    A span is one task, or several successive tasks if there were too many to keep each.
    """

    process: int
    thread: int | None
    """The native thread id. ``None`` if it is unknown: the span is then the time from the call to its result."""
    loop: bool
    """Whether this is the event loop's own thread."""
    begin: list[Amount]
    end: list[Amount]
    tasks: list[Count]
    """Tasks in each span."""
    busy: list[Amount]
    """The sum of the tasks' durations in each span."""

    def __post_init__(self) -> None:
        must_be_as_long(begin=self.begin, end=self.end, tasks=self.tasks, busy=self.busy)


class Baseline(Record, frozen=True, kw_only=True):
    """One task alone, measured while the trial was stopped: before it, after it, and about ten times a second within it.

    Slice ``i`` is the trial between two pauses.
    """

    task: str = ""
    """The dotted name of the task's kernel; empty if it is unknown."""
    cores: Positive
    """How many cores the trial keeps busy if no other program uses them."""
    elapsed: list[Amount]
    """The length of each slice."""
    cpu: list[Amount]
    """The CPU time that the trial used in each slice."""
    queued: list[Amount]
    """The run-queue delay in each slice of the threads that computed in it: they were runnable and had no core."""
    rate: list[Positive]
    """Steps of one task alone in a second of CPU time, on the cores that the trial used: before and after each slice."""
    change: list[float]
    """The relative change of that rate from the beginning to the end of each slice; 0 if the trial changed its core."""
    together: list[Positive] = msgspec.field(default_factory=list)
    """The same as ``rate`` while one task runs on each of these cores at once; ``rate`` itself if it is empty."""

    def __post_init__(self) -> None:
        if not self.together:
            msgspec.structs.force_setattr(self, "together", self.rate)
        must_be_as_long(
            elapsed=self.elapsed,
            cpu=self.cpu,
            queued=self.queued,
            rate=self.rate,
            change=self.change,
            together=self.together,
        )


class Measure(Record, frozen=True, kw_only=True):
    """What one trial measured. The time for which it was stopped to measure its baseline does not count."""

    start_up: Amount
    """How long the workers took to start and warm up, before the clock started."""
    elapsed: Positive
    tasks: Count
    """Tasks that were done."""
    rate: Amount
    """Steps a second, all workers together."""
    cpu: Amount | None
    """The CPU time of the trial's processes in ``elapsed``; ``None`` if it could not be read."""
    queued: float | None = None
    """The run-queue delay: how long the trial's threads, taken together, were runnable and had no core."""
    call: Times | None = None
    """How long a call took until its result was there; ``None`` for an idle loop."""
    lag: Lag
    ticks: Bins
    lanes: list[Lane] = msgspec.field(default_factory=list)
    """Where and when the tasks ran."""
    others_share: float | None = None
    """The share of the cores' time that other programs used in ``elapsed``; ``None`` if it could not be read."""
    idle_share: float | None = None
    """The share of the cores' time that stayed idle."""
    baseline_slices: Baseline | None = None
    """What ``rate`` is compared with; ``None`` if it was not measured within the trial."""
    baseline_lost: bool = False
    """Whether it should have been measured, and could not be."""


class Trial(Record, frozen=True, kw_only=True):
    """One case, run once."""

    case: str
    count: Count
    """Steps of each task."""
    status: Literal["finished", "timed out", "died", "unavailable"]
    reason: str = ""
    """Why the trial did not finish, in words."""
    measure: Measure | None = None
    """``None`` unless the trial finished."""
    strategy: str = ""
    concurrency: AtLeastOne | None = None
    """Tasks at once, if that differs from the plan's."""
    supervised: bool = True
    """Whether the trial ran in a process of its own, and not in the caller's."""


class Result(Record, frozen=True, kw_only=True):
    """A run: the idle loop as the baseline, then the cases in the order in which they ran."""

    format: Literal["gilscope"] = "gilscope"
    schema: int = SCHEMA
    kind: Literal["demo", "compare"] = "demo"
    version: str
    created: str
    """When the run started: ISO 8601, UTC."""
    machine: Machine
    plan: Plan
    alone: dict[str, Positive]
    """Steps of each kernel in a second of CPU time, measured once at the start: it gives the tasks their size.

    It is the baseline of a trial that has none of its own, too.
    """
    idle: Trial
    trials: list[Trial]
    comparison: Comparison | None = None
    """What ``compare`` adds; each of its trials has a strategy and a concurrency."""
    interrupted: bool = False

    def __post_init__(self) -> None:
        if (self.kind == "compare") != (self.comparison is not None):
            raise ValueError(
                f"`kind` is {self.kind}, and `comparison` is {'null' if self.comparison is None else 'not'}"
            )

    def __str__(self) -> str:
        """Return the report that the command line prints, 100 columns wide."""
        return str(_view("text")(self))

    @property
    def recommendation(self) -> Recommendation:
        """Where the compared callable should run. Raises ``ValueError`` for a result of another kind."""
        recommendation: Recommendation = _view("recommendation")(self)
        return recommendation


def _view(name: str) -> Callable[[Result], Any]:
    """Import and return one of the functions in the package's ``RESULT_VIEWS``."""
    function: Callable[[Result], Any] = resolve_name(resolve_name("gilscope:RESULT_VIEWS")[name])
    return function
