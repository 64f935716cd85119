"""One callable under every strategy: the passages and the trials of a comparison, one after another. Prints nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from gilscope.comparison.travel import probe, stays
from gilscope.isolated import in_process as here
from gilscope.isolated import supervise
from gilscope.records import comparison as records
from gilscope.records.comparison import Passage
from gilscope.records.cores import cores
from gilscope.records.machine import machine
from gilscope.records.result import Result, Trial
from gilscope.trial import runner as experiment
from gilscope.trial.request import Named, Request
from gilscope.trial.run import trial
from gilscope.trial.strategies import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gilscope.isolated.payload import Work
    from gilscope.records.result import Measure, Plan
    from gilscope.records.verdict import Verdict
    from gilscope.trial.request import Place
    from gilscope.trial.strategies import Strategy

    T = TypeVar("T")
    Waiting = Callable[[float], None]


@dataclass(frozen=True)
class Subject:
    """What is compared: how to call it in this process, and how another process gets it, if one can."""

    name: str
    verdict: Verdict
    call: tuple[Callable[..., Any], tuple[Any, ...]] | None
    """The function and its arguments; ``None`` where only child processes know them."""
    work: Work | None
    stays: str = ""
    """Why there is no ``work``."""
    setup: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Option:
    """A strategy to compare. Without a place it cannot be sent to a child process, and runs in this one."""

    name: str
    strategy: Strategy
    place: Place | None
    unavailable: str = ""


class Progress(Protocol):
    """Is told what runs, and runs it."""

    def step(self, name: str, work: Callable[[Waiting], T]) -> T: ...
    def trial(self, name: str, work: Callable[[Waiting], Trial]) -> Trial: ...


class Silence:
    """Tells nobody."""

    def step(self, name: str, work: Callable[[Waiting], T]) -> T:  # noqa: ARG002
        return work(lambda passed: None)  # noqa: ARG005

    def trial(self, name: str, work: Callable[[Waiting], Trial]) -> Trial:
        return self.step(name, work)


class Comparison:
    """A comparison that runs; what it has by now can be had as a result at any time."""

    def __init__(self, subject: Subject, options: list[Option], plan: Plan, *, budget: float) -> None:
        self._subject, self._options, self._plan, self._budget = subject, options, plan, budget
        self._created = datetime.now(UTC).isoformat(timespec="seconds")
        self._stays = subject.stays
        self._passages: list[Passage] = []
        self._trials: list[Trial] = []
        self.concurrency = concurrency()

    @property
    def begun(self) -> bool:
        """Whether there is anything to show yet."""
        return bool(self._trials)

    @property
    def steps(self) -> int:
        """How many trials there will be at most."""
        return 1 + len(self._options) * len(self.concurrency)

    def run(self, progress: Progress) -> None:
        """Run all of it."""
        self._trials.append(progress.trial("idle", partial(experiment.idle, self._plan)))
        if not self._stays and self._subject.work is not None:
            way = progress.step("into a process", partial(self._probe_in_child, Named("inline"), self._subject.work))
            self._stays = way.reason
        for option in self._options:
            passage = progress.step(f"{option.name}: there and back", partial(self._probe, option))
            self._passages.append(passage)
            for tasks in self.concurrency if passage.travels else ():
                name = f"{option.name} x{tasks}"
                plan = msgspec.structs.replace(self._plan, concurrency=tasks)
                self._trials.append(progress.trial(name, partial(self._trial, name, option, plan)))

    def result(self, *, interrupted: bool = False) -> Result:
        """Return what there is by now: at least the idle loop must have been measured."""
        subject = self._subject
        return Result(
            kind="compare",
            version=version("gilscope"),
            created=self._created,
            machine=machine(),
            plan=self._plan,
            alone={},
            idle=self._trials[0],
            trials=self._trials[1:],
            comparison=records.Comparison(
                subject=subject.name,
                setup=subject.setup,
                budget=self._budget,
                verdict=subject.verdict,
                concurrency=self.concurrency,
                stays=self._stays,
                passages=self._passages,
            ),
            interrupted=interrupted,
        )

    def _probe(self, option: Option, waiting: Waiting) -> Passage:
        if option.unavailable:
            return msgspec.structs.replace(stays(option.name, option.unavailable), unavailable=True)
        if option.name == "process" and self._stays:
            return stays(option.name, self._stays)
        if (where := self._child(option)) is not None:
            return self._probe_in_child(*where, waiting)
        try:
            passage = here.run(partial(probe, option.name, option.strategy, *self._call), waiting)
        except here.Ended as ended:
            passage = stays(option.name, f"a call raised {ended}")
        return msgspec.structs.replace(passage, supervised=False)

    def _probe_in_child(self, place: Place, work: Work, waiting: Waiting) -> Passage:
        request = msgspec.json.encode(Request(plan=self._plan, place=place, work=work))
        outcome = supervise.run("gilscope.comparison.travel", request, timeout=self._plan.timeout, waiting=waiting)
        if outcome.status == "finished":
            return msgspec.json.decode(outcome.answer, type=Passage)
        return stays(place.name, f"the process that tried it {outcome.status}: {outcome.reason}")

    def _trial(self, name: str, option: Option, plan: Plan, waiting: Waiting) -> Trial:
        if (where := self._child(option)) is not None:
            request = Request(plan=plan, place=where[0], work=where[1], considerate=True)
            return experiment.supervised(name, request, waiting)
        function, args = self._call
        work = partial(trial, option.strategy, function, args, plan, considerate=True)
        measured = _unsupervised(name, 1, work, waiting)
        return msgspec.structs.replace(measured, strategy=option.name, concurrency=plan.concurrency)

    def _child(self, option: Option) -> tuple[Place, Work] | None:
        """Return what a child needs to run ``option``, or ``None`` where it must run here."""
        if self._stays or option.place is None or self._subject.work is None:
            return None
        return option.place, self._subject.work

    @property
    def _call(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        assert self._subject.call is not None  # noqa: S101 - a subject without a call has work
        return self._subject.call


def _unsupervised(name: str, count: int, work: Callable[[], Coroutine[Any, Any, Measure]], waiting: Waiting) -> Trial:
    """Run one trial in this process. An exception that the call raises is how it died."""
    try:
        measure = here.run(work, waiting)
    except Exception as error:  # noqa: BLE001 - anybody's code
        return Trial(case=name, count=count, status="died", reason=here.told(error), supervised=False)
    return Trial(case=name, count=count, status="finished", measure=measure, supervised=False)


def option(name: str, unavailable: str = "") -> Option:
    """Return a strategy of the table as an option."""
    return Option(name, STRATEGIES[name], Named(name), unavailable)


def concurrency() -> list[int]:
    """Return how many calls at once are tried: one, two, and as many as there are cores."""
    return sorted({1, 2, math.ceil(cores())})
