"""Run one trial in a supervised process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.isolated.payload import Kernel
from gilscope.isolated.protocol import ask
from gilscope.records.result import Measure, Plan, Trial
from gilscope.trial.request import TrialRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    Waiting = Callable[[float], None]


def idle(plan: Plan, waiting: Waiting | None = None) -> Trial:
    """Measure an event loop that has nothing to do."""
    return supervised("idle", TrialRequest(plan=plan), waiting)


def supervised(name: str, request: TrialRequest, waiting: Waiting | None = None) -> Trial:
    """Run one trial in a process of its own. A process that dies or times out is a trial that says so."""
    outcome = ask("gilscope.trial.run:run", request, Measure, timeout=request.plan.timeout, waiting=waiting)
    return Trial(
        case=name,
        count=request.work.count if isinstance(request.work, Kernel) else int(request.work is not None),
        status=outcome.status,
        reason=outcome.reason,
        measure=outcome.answer,
        strategy="" if request.strategy is None else request.strategy.name,
        concurrency=request.plan.concurrency,
    )
