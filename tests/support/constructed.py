"""Results of comparisons, as a machine with enough cores would measure them, for tests of findings and recommendations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from gilscope.records.comparison import Comparison, RoundTrip
from gilscope.records.machine import Machine
from gilscope.records.result import Bins, Lag, Measure, Plan, Result, Times, Trial
from gilscope.records.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilscope.records.comparison import Failure

MACHINE = Machine(
    python="3.13.0", implementation="CPython", gil=True, system="Linux 6.18", processor="one of ours", cores=4.0
)
SHARES = {"releases": (1.0, 0.0, 0.0), "yields": (0.0, 1.0, 0.0), "hogs": (0.0, 0.0, 1.0), "undecided": (1.0, 0.0, 0.0)}
WIDEST = 4


def verdict(kind: str, call: float, **changed: Any) -> Verdict:
    """Return the verdict on a callable that hogs, yields or releases, as ``kind`` says, for all of ``call`` seconds."""
    released, yielded, hogged = SHARES.get(kind, (None, None, None))
    hold = {"hogs": call, "yields": 0.005}.get(kind, 0.0)
    fields: dict[str, Any] = {
        "name": "work",
        "kind": kind,
        "released": released,
        "yielded": yielded,
        "hogged": hogged,
        "longest_hold": None if released is None else hold,
        "long_holds": 1 if kind == "hogs" else 0,
        "waits": None,
        "samples": 500,
        "duration": call,
        "calls": 10,
        "cpu": 1.0,
        "background": None,
        "switch_interval": 0.005,
        "machine": MACHINE,
    }
    return Verdict(**{**fields, **changed})


def measure(rate: float, late: float = 0.001, *, tasks: int = 1, wanted: float = 1.0, spread: float = 0.02) -> Measure:
    """Return the figures of one second with ``rate`` calls, beside an event loop with a lag of ``late`` at the p99."""
    call = tasks / rate
    return Measure(
        start_up=0.1,
        elapsed=1.0,
        tasks=round(rate),
        rate=rate,
        cpu=wanted,
        queued=0.0,
        call=Times(p50=call, p90=call * (1 + spread), max=call * 1.5),
        lag=Lag(due=100, came=100, p50=late / 2, p90=late, p99=late, max=2 * late),
        ticks=Bins(width=0.01, due=[1] * 100, came=[1] * 100, worst=[late] * 100),
    )


def trials(
    strategy: str, one: float, widest: float, *, late: float = 0.001, cores: float = 1.0, **of_measure: Any
) -> list[Trial]:
    """Return trials of one, two and four calls at once: ``one`` call a second alone, ``widest`` with four at once.

    One call at a time keeps ``cores`` cores busy.
    """
    rates = {1: one, 2: one if widest < 1.5 * one else 2 * one, WIDEST: widest}
    return [
        Trial(
            case=f"{strategy} x{tasks}",
            count=1,
            status="finished",
            strategy=strategy,
            concurrency=tasks,
            measure=measure(rate, late, tasks=tasks, wanted=cores * rate / one, **of_measure),
        )
        for tasks, rate in rates.items()
    ]


def way(
    strategy: str, overhead: float = 0.0002, *, pickling: float = 1e-6, unpickling: float = 1e-6, **changed: Any
) -> RoundTrip:
    """Return a round trip to a strategy with a GIL of its own."""
    fields: dict[str, Any] = {
        "strategy": strategy,
        "answer": "same",
        "empty": 0.00015,
        "overhead": overhead,
        "pickling": pickling,
        "unpickling": unpickling,
        "argument_bytes": 20,
        "result_bytes": 5,
    }
    return RoundTrip(**{**fields, **changed})


def no_way(strategy: str, failure: Failure = "not importable", reason: str = "it cannot be pickled") -> RoundTrip:
    return RoundTrip(strategy=strategy, failure=failure, reason=reason)


def shared(strategy: str, empty: float) -> RoundTrip:
    return RoundTrip(strategy=strategy, answer="same", empty=empty, overhead=empty, shared=True)


def compared(
    verdict: Verdict,
    *trips: RoundTrip,
    thread: Sequence[Trial] | None = None,
    others: Sequence[Trial] = (),
    budget: float = 0.01,
    cores: float = 4.0,
) -> Result:
    """Return a comparison with the round trips of inline, thread and ``trips``, and with trials that suit the verdict."""
    rate = 1 / verdict.duration
    wide = WIDEST * rate if verdict.kind in ("releases", "no GIL") else rate
    measured = [
        *trials("inline", rate, rate, late=verdict.duration, cores=verdict.cpu),
        *(trials("thread", rate, wide, cores=verdict.cpu) if thread is None else thread),
    ]
    theirs = {trial.strategy for trial in others}
    for trip in trips:
        if trip.works and trip.strategy not in theirs:
            measured += trials(trip.strategy, rate, WIDEST * rate)
    return Result(
        kind="compare",
        version="0.1.0",
        created="2026-11-24T12:00:00+00:00",
        machine=msgspec.structs.replace(MACHINE, cores=cores),
        plan=Plan(seconds=1.0),
        alone={},
        idle=Trial(case="idle", count=0, status="finished", measure=measure(1.0)),
        trials=[*measured, *others],
        comparison=Comparison(
            subject="work",
            budget=budget,
            verdict=verdict,
            concurrency=[1, 2, WIDEST],
            round_trips=[shared("inline", 1e-7), shared("thread", 4e-5), *trips],
        ),
    )
