"""Compare one callable under every strategy: the round trips and the trials, one after another. Prints nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from gilscope.comparison.figures import WAITING_CPU_SHARE
from gilscope.comparison.travel import RoundTripRequest, failed, last_error, round_trip
from gilscope.isolated import in_process
from gilscope.isolated.protocol import ask
from gilscope.records.comparison import Comparison, RoundTrip
from gilscope.records.cores import cores
from gilscope.records.machine import machine
from gilscope.records.result import Result, Trial
from gilscope.trial import runner
from gilscope.trial.baseline_process import BaselineTask
from gilscope.trial.request import NamedStrategy, TrialRequest
from gilscope.trial.run import trial
from gilscope.trial.strategies import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gilscope.isolated.payload import Work
    from gilscope.records.comparison import Failure
    from gilscope.records.result import Measure, Plan
    from gilscope.records.verdict import Verdict
    from gilscope.trial.request import StrategySpec
    from gilscope.trial.strategies import Strategy

    T = TypeVar("T")
    Waiting = Callable[[float], None]

REFERENCE = ("gilscope:countdown_released", 10_000_000)
REFERENCE_IN_PYTHON = ("gilscope:countdown_python", 200_000)
"""A task of about 5 ms: the speed of Python code and of native code changes differently."""
MIN_SECONDS_TO_STOP = 0.5
"""A shorter trial has too few slices."""


@dataclass(frozen=True)
class Subject:
    """What is compared: how to call it in this process, and how another process gets it, if it can."""

    name: str
    verdict: Verdict
    call: tuple[Callable[..., Any], tuple[Any, ...]] | None
    """The function and its arguments; ``None`` if only child processes have them."""
    work: Work | None
    stuck: RoundTrip | None = None
    """The failed attempt to pickle it, if there is no ``work``."""
    setup: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Candidate:
    """A strategy to compare. Without a ``spec`` it cannot be sent to a child process, and runs in this one."""

    name: str
    strategy: Strategy
    spec: StrategySpec | None
    unavailable: str = ""
    """Why this Python or this installation cannot run it."""


class ProgressReporter(Protocol):
    """Runs each step, and reports that it runs. ``trial`` is for the steps that :attr:`ComparisonRun.steps` counts."""

    def step(self, name: str, work: Callable[[Waiting], T]) -> T: ...
    def trial(self, name: str, work: Callable[[Waiting], Trial]) -> Trial: ...


class NoProgress:
    """Runs each step, and reports nothing."""

    def step(self, name: str, work: Callable[[Waiting], T]) -> T:  # noqa: ARG002
        return work(lambda passed: None)  # noqa: ARG005

    def trial(self, name: str, work: Callable[[Waiting], Trial]) -> Trial:
        return self.step(name, work)


class ComparisonRun:
    """A comparison in progress. :meth:`result` returns what it has measured so far."""

    def __init__(self, subject: Subject, candidates: list[Candidate], plan: Plan, *, budget: float) -> None:
        self._subject, self._candidates, self._plan, self._budget = subject, candidates, plan, budget
        self._created = datetime.now(UTC).isoformat(timespec="seconds")
        self._stuck = subject.stuck
        self._round_trips: list[RoundTrip] = []
        self._trials: list[Trial] = []
        self.concurrency = concurrency()

    @property
    def begun(self) -> bool:
        """Whether there is a result yet."""
        return bool(self._trials)

    @property
    def steps(self) -> int:
        """The number of trials, at most."""
        return 1 + len(self._candidates) * len(self.concurrency)

    def run(self, progress: ProgressReporter) -> None:
        """Run the whole comparison."""
        self._trials.append(progress.trial("idle", partial(runner.idle, self._plan)))
        if self._stuck is None and self._subject.work is not None:
            inline = partial(self._round_trip_in_child, NamedStrategy("inline"), self._subject.work)
            made = progress.step("into a process", inline)
            self._stuck = None if made.works else made
        for candidate in self._candidates:
            made = progress.step(f"{candidate.name}: round trip", partial(self._round_trip, candidate))
            self._round_trips.append(made)
            for tasks in self.concurrency if made.works else ():
                name = f"{candidate.name} x{tasks}"
                plan = msgspec.structs.replace(self._plan, concurrency=tasks)
                self._trials.append(progress.trial(name, partial(self._trial, name, candidate, plan)))

    def result(self, *, interrupted: bool = False) -> Result:
        """Return what has been measured so far, if anything."""
        subject = self._subject
        idle, *trials = self._trials or [
            Trial(case="idle", count=0, status="unavailable", reason="nothing was compared")
        ]
        return Result(
            kind="compare",
            version=version("gilscope"),
            created=self._created,
            machine=machine(),
            plan=self._plan,
            alone={},
            idle=idle,
            trials=trials,
            comparison=Comparison(
                subject=subject.name,
                setup=subject.setup,
                budget=self._budget,
                verdict=subject.verdict,
                concurrency=self.concurrency,
                in_process_reason="" if self._stuck is None else self._stuck.reason,
                round_trips=self._round_trips,
            ),
            interrupted=interrupted,
        )

    def _round_trip(self, candidate: Candidate, waiting: Waiting) -> RoundTrip:
        if candidate.unavailable:
            return failed(candidate.name, "strategy unavailable", candidate.unavailable)
        if self._stuck is not None and (candidate.name == "process" or self._subject.call is None):
            return msgspec.structs.replace(self._stuck, strategy=candidate.name)
        if (sendable := self._sendable(candidate)) is not None:
            return self._round_trip_in_child(*sendable, waiting)
        try:
            made = in_process.run(partial(round_trip, candidate.name, candidate.strategy, *self._call), waiting)
        except in_process.ExitRaised as raised:
            made = failed(candidate.name, "raised in worker", f"a call raised {raised}")
        return msgspec.structs.replace(made, supervised=False)

    def _round_trip_in_child(self, spec: StrategySpec, work: Work, waiting: Waiting) -> RoundTrip:
        request = RoundTripRequest(strategy=spec, work=work)
        outcome = ask("gilscope.comparison.travel:run", request, RoundTrip, timeout=self._plan.timeout, waiting=waiting)
        if outcome.answer is not None:
            return _with_last_line(outcome.answer, outcome.output)
        failure: Failure = "timed out" if outcome.status == "timed out" else "worker died"
        return failed(spec.name, failure, f"the process that tried it {outcome.status}: {outcome.reason}")

    def _trial(self, name: str, candidate: Candidate, plan: Plan, waiting: Waiting) -> Trial:
        if (sendable := self._sendable(candidate)) is not None:
            spec, work = sendable
            baseline = _baseline(spec, plan, self._subject.verdict)
            request = TrialRequest(plan=plan, strategy=spec, work=work, yield_after_call=True, baseline=baseline)
            return runner.supervised(name, request, waiting)
        function, args = self._call
        measure = partial(trial, candidate.strategy, function, args, plan, yield_after_call=True)
        measured = _unsupervised(name, measure, waiting)
        return msgspec.structs.replace(measured, strategy=candidate.name, concurrency=plan.concurrency)

    def _sendable(self, candidate: Candidate) -> tuple[StrategySpec, Work] | None:
        """Return what a child needs to run ``candidate``, or ``None`` if it must run in this process."""
        if self._stuck is not None or candidate.spec is None or self._subject.work is None:
            return None
        return candidate.spec, self._subject.work

    @property
    def _call(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        assert self._subject.call is not None  # noqa: S101 - a subject without a call has work
        return self._subject.call


def _with_last_line(made: RoundTrip, output: str) -> RoundTrip:
    """Return ``made`` with the last line of what a worker printed before it died: its executor knows no reason."""
    last = last_error(output) if made.failure == "worker died" else ""
    return msgspec.structs.replace(made, reason=f"{made.reason} The worker: {last}") if last else made


def _baseline(spec: StrategySpec, plan: Plan, verdict: Verdict) -> BaselineTask | None:
    """Return a task that measures the machine's speed within a trial, in which the trial is stopped again and again.

    A call that waits does not depend on that speed, and must not be stopped: what it waits for goes on. The same holds for
    a cluster or an executor of the user's.
    """
    if not isinstance(spec, NamedStrategy) or verdict.cpu < WAITING_CPU_SHARE or plan.seconds < MIN_SECONDS_TO_STOP:
        return None
    one_at_a_time = spec.name == "inline" or (spec.name == "thread" and verdict.kind not in ("releases", "no GIL"))
    function, count = REFERENCE_IN_PYTHON if verdict.kind == "yields" else REFERENCE
    of_a_call = max(verdict.cpu, verdict.busy_cores or 0.0)
    wanted = of_a_call * (1 if one_at_a_time else plan.concurrency)
    return BaselineTask(function=function, count=count, cores=min(wanted, cores()))


def _unsupervised(name: str, measure: Callable[[], Coroutine[Any, Any, Measure]], waiting: Waiting) -> Trial:
    """Run one trial in this process. If the call raises, the trial has died of that exception."""
    try:
        measured = in_process.run(measure, waiting)
    except Exception as error:  # noqa: BLE001 - anybody's code
        reason = in_process.described(error)
        return Trial(case=name, count=1, status="died", reason=reason, supervised=False)
    return Trial(case=name, count=1, status="finished", measure=measured, supervised=False)


def candidate(name: str, unavailable: str = "") -> Candidate:
    """Return the strategy of that name in the table as a candidate."""
    return Candidate(name, STRATEGIES[name], NamedStrategy(name), unavailable)


def concurrency() -> list[int]:
    """Return the numbers of calls at once to try: one, two, and as many as there are cores."""
    return sorted({1, 2, math.ceil(cores())})
