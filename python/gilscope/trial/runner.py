"""Cases in, trials out: each in a process of its own, one after another. Prints nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gilscope.demo.cases import KERNELS
from gilscope.isolated import supervise
from gilscope.isolated.payload import Kernel
from gilscope.records.result import Measure, Plan, Trial
from gilscope.trial.request import Named, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.demo.cases import Case

    Waiting = Callable[[float], None]

START_LIMIT = 60.0
"""Seconds until a calibration that does not come back is given up."""


def calibrate(waiting: Waiting | None = None) -> dict[str, float]:
    """Return the steps a second of each kernel alone, measured in a process of its own.

    Raises ``RuntimeError`` where that process does not bring it.
    """
    request = msgspec.json.encode(KERNELS)
    outcome = supervise.run("gilscope.demo.calibration", request, timeout=START_LIMIT, waiting=waiting)
    if outcome.status != "finished":
        raise RuntimeError(f"the kernels could not be calibrated: {outcome.reason}\n{outcome.output}")
    return msgspec.json.decode(outcome.answer, type=dict[str, float])


def idle(plan: Plan, waiting: Waiting | None = None) -> Trial:
    """Measure the loop with nothing to do."""
    return supervised("idle", Request(plan=plan), waiting)


def run(case: Case, plan: Plan, alone: dict[str, float], waiting: Waiting | None = None) -> Trial:
    """Run one case once. A case that dies, does not end in time or cannot run here is a trial that says so."""
    count = steps(case, plan, alone)
    if case.unavailable:
        return Trial(case=case.name, count=count, status="unavailable", reason=case.unavailable)
    request = Request(plan=plan, place=Named(case.strategy), work=Kernel(case.function, count))
    return supervised(case.name, request, waiting)


def steps(case: Case, plan: Plan, alone: dict[str, float]) -> int:
    """Return the steps of each task of ``case``: those asked for, or as many as last ``plan.duration`` alone."""
    return plan.count if plan.count is not None else max(1, int(alone[case.kernel] * plan.duration))


def supervised(name: str, request: Request, waiting: Waiting | None = None) -> Trial:
    """Run one trial in a process of its own. However that ends, it is a trial that says so."""
    timeout = request.plan.timeout
    outcome = supervise.run("gilscope.trial.run", msgspec.json.encode(request), timeout=timeout, waiting=waiting)
    measure = msgspec.json.decode(outcome.answer, type=Measure) if outcome.status == "finished" else None
    count = request.work.count if isinstance(request.work, Kernel) else int(request.work is not None)
    return Trial(
        case=name,
        count=count,
        status=outcome.status,
        reason=outcome.reason,
        measure=measure,
        strategy="" if request.place is None else request.place.name,
        concurrency=request.plan.concurrency,
    )
