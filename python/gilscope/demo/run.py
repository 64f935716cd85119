"""Run the demo's cases: each in a process of its own, one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.demo.cases import KERNELS
from gilscope.isolated.payload import Kernel
from gilscope.isolated.protocol import ask
from gilscope.records.cores import cores
from gilscope.records.machine import has_gil
from gilscope.records.result import Plan, Trial
from gilscope.trial.baseline_process import BaselineTask
from gilscope.trial.request import NamedStrategy, TrialRequest
from gilscope.trial.runner import supervised

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.demo.cases import Case

    Waiting = Callable[[float], None]

CALIBRATION_TIMEOUT_SECONDS = 60.0
BASELINE_SLICE_SECONDS = 0.005
"""Measure one task alone for so long, on each core, whenever the trial is stopped."""


def calibrate(waiting: Waiting | None = None) -> dict[str, float]:
    """Return how many steps a second each kernel does alone, measured in a process of its own.

    Raise ``RuntimeError`` if that process dies or times out.
    """
    outcome = ask(
        "gilscope.demo.calibration:rates_of",
        KERNELS,
        dict[str, float],
        timeout=CALIBRATION_TIMEOUT_SECONDS,
        waiting=waiting,
    )
    if outcome.answer is None:
        raise RuntimeError(f"the kernels could not be calibrated: {outcome.reason}\n{outcome.output}")
    return outcome.answer


def run(case: Case, plan: Plan, alone: dict[str, float], waiting: Waiting | None = None) -> Trial:
    """Run one case once. A case that dies, times out or cannot run here is a trial that says so."""
    count = steps(case, plan, alone)
    if case.unavailable:
        return Trial(case=case.name, count=count, status="unavailable", reason=case.unavailable)
    request = TrialRequest(
        plan=plan,
        strategy=NamedStrategy(case.strategy),
        work=Kernel(f"gilscope:{case.function}", count),
        baseline=baseline(case, plan, alone),
    )
    return supervised(case.name, request, waiting)


def baseline(case: Case, plan: Plan, alone: dict[str, float]) -> BaselineTask:
    """Return the task that is measured alone within the trial of ``case``."""
    return BaselineTask(
        function=f"gilscope:{KERNELS[case.kernel]}",
        count=max(1, int(alone[case.kernel] * BASELINE_SLICE_SECONDS)),
        cores=wanted_cores(case, plan),
    )


def wanted_cores(case: Case, plan: Plan) -> float:
    """Return how many cores the tasks of ``case`` can keep busy: one if they need one GIL, or run on the loop."""
    one = case.strategy in ("inline", "cooperative") or (
        case.strategy == "thread" and case.kernel != "released" and has_gil()
    )
    return 1.0 if one else min(float(plan.concurrency), cores())


def steps(case: Case, plan: Plan, alone: dict[str, float]) -> int:
    """Return the steps of each task of ``case``: the plan's count, or as many as take ``plan.duration`` alone."""
    return plan.count if plan.count is not None else max(1, int(alone[case.kernel] * plan.duration))
