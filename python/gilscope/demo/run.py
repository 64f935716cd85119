"""Run the demo's cases: each in a process of its own, one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.demo.cases import KERNELS
from gilscope.isolated.payload import Kernel
from gilscope.isolated.protocol import ask
from gilscope.records.result import Plan, Trial
from gilscope.trial.request import NamedStrategy, TrialRequest
from gilscope.trial.runner import supervised

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.demo.cases import Case

    Waiting = Callable[[float], None]

CALIBRATION_TIMEOUT_SECONDS = 60.0


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
        plan=plan, strategy=NamedStrategy(case.strategy), work=Kernel(f"gilscope:{case.function}", count)
    )
    return supervised(case.name, request, waiting)


def steps(case: Case, plan: Plan, alone: dict[str, float]) -> int:
    """Return the steps of each task of ``case``: the plan's count, or as many as take ``plan.duration`` alone."""
    return plan.count if plan.count is not None else max(1, int(alone[case.kernel] * plan.duration))
