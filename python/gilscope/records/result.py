"""What was measured: frozen records, and their JSON. Durations are float seconds, shares are 0 to 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from gilscope.records import views
from gilscope.records.base import SCHEMA, Amount, AtLeastOne, Count, Positive, Record, must_be_as_long
from gilscope.records.comparison import Comparison
from gilscope.records.machine import Machine

if TYPE_CHECKING:
    from gilscope.records.finding import Recommendation


class Plan(Record, frozen=True, kw_only=True):
    """What was asked for."""

    seconds: Positive = 2.0
    """How long each case starts new tasks."""
    concurrency: AtLeastOne = 2
    """Tasks at once."""
    tick: Positive = 0.01
    """The ticker's period."""
    duration: Positive = 0.2
    """What one task alone is calibrated to take; without meaning where ``count`` is given."""
    count: AtLeastOne | None = None
    """Steps a task, instead of a calibrated number."""
    timeout: Positive = 62.0
    """Seconds after which a case is ended from outside."""


class Lag(Record, frozen=True, kw_only=True):
    """How late the loop was.

    ``due`` ticks were due, ``came`` of them came. The quantiles are over all that were due: one that did not come counts
    with the lateness that it had when the loop was next served. All are ``None`` where no tick was due.
    """

    due: Count
    came: Count
    p50: Amount | None
    p90: Amount | None
    p99: Amount | None
    max: Amount | None


class Bins(Record, frozen=True, kw_only=True):
    """The ticks in time: bin ``i`` has those due from ``i * width`` to ``(i + 1) * width`` after the start."""

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

    A span is one task, or some that followed each other where there were too many to keep each.
    """

    process: int
    thread: int | None
    """The system's number; ``None`` where only the loop saw the task: from asking for it to hearing that it is done."""
    loop: bool
    """Whether it is the loop's own thread."""
    begin: list[Amount]
    end: list[Amount]
    tasks: list[Count]
    """Tasks in each span."""
    busy: list[Amount]
    """How long they ran, together."""

    def __post_init__(self) -> None:
        must_be_as_long(begin=self.begin, end=self.end, tasks=self.tasks, busy=self.busy)


class Measure(Record, frozen=True, kw_only=True):
    """What one trial measured."""

    start_up: Amount
    """How long the workers took to start and warm up, before the clock started."""
    elapsed: Positive
    tasks: Count
    """Tasks done."""
    rate: Amount
    """Steps a second, all workers together."""
    cpu: Amount | None
    """Processor time of the trial's processes in ``elapsed``; ``None`` where the system does not tell it."""
    queued: float | None = None
    """How long the trial's threads, taken together, could have run and had no processor; ``None`` as above."""
    call: Times | None = None
    """From asking for a task to having its result; ``None`` for an idle loop."""
    lag: Lag
    ticks: Bins
    lanes: list[Lane] = msgspec.field(default_factory=list)
    """Where and when the tasks ran."""
    others: float | None = None
    """Share of the processors' time that other programs took in ``elapsed``; ``None`` where the system does not tell."""
    spare: float | None = None
    """Share of it that nobody took."""


class Trial(Record, frozen=True, kw_only=True):
    """One case, run once in a process of its own."""

    case: str
    count: Count
    """Steps of each task."""
    status: Literal["finished", "timed out", "died", "unavailable"]
    reason: str = ""
    """Why it did not finish, or why this Python cannot run it."""
    measure: Measure | None = None
    strategy: str = ""
    concurrency: AtLeastOne | None = None
    """Tasks at once, where that differs from the plan's."""
    supervised: bool = True
    """Whether it ran in a process of its own; where not, in the caller's."""


class Result(Record, frozen=True, kw_only=True):
    """A run: its idle loop first, as the floor, then its cases in the order in which they ran."""

    format: Literal["gilscope"] = "gilscope"
    schema: int = SCHEMA
    kind: Literal["demo", "compare"] = "demo"
    version: str
    created: str
    """When it started: ISO 8601, UTC."""
    machine: Machine
    plan: Plan
    alone: dict[str, Positive]
    """Steps a second of each kernel, one task alone in an idle process: what ``rate`` is compared with."""
    idle: Trial
    trials: list[Trial]
    comparison: Comparison | None = None
    """What ``compare`` adds; its trials have a strategy and a concurrency each."""
    interrupted: bool = False

    def __post_init__(self) -> None:
        if (self.kind == "compare") != (self.comparison is not None):
            raise ValueError(
                f"`kind` is {self.kind}, and `comparison` is {'null' if self.comparison is None else 'not'}"
            )

    def __str__(self) -> str:
        """Return the report that the command line prints, 100 columns wide."""
        return views.text(self)

    @property
    def recommendation(self) -> Recommendation:
        """Where the compared callable should run. Raises ``ValueError`` for a result of another kind."""
        return views.recommendation(self)
