"""The findings of a comparison that are about the round trips to workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.comparison.figures import overhead, pickle_stall
from gilscope.formatting import duration, listed, size
from gilscope.records.finding import Finding

if TYPE_CHECKING:
    from gilscope.comparison.figures import ComparisonFigures
    from gilscope.records.comparison import Failure, RoundTrip

REMEDIES: dict[Failure, str] = {
    "unknown": "Call a function at the top of a module, and pass and return plain data.",
    "no executor": "Have the factory return an executor, such as concurrent.futures.ThreadPoolExecutor(workers).",
    "not importable": "Define the function at the top of a module that can be imported.",
    "no main guard": "Put the call under `if __name__ == '__main__':`, or the function into a module of its own.",
    "cannot be pickled": "Pass plain data.",
    "result cannot be pickled": "Return plain data.",
    "raised while loading": "Fix what importing the function's module raises there.",
    "raised in worker": "Fix what the call raises there.",
    "worker died": "Find out why the worker ended: it may have crashed, or been killed for its use of memory.",
    "timed out": "Give the round trip more time: --timeout on the command line, timeout= in Python.",
}
"""What to do about each failure that is due to the callable or its executor."""


def does_not_travel(run: ComparisonFigures) -> Finding | None:
    failed = [trip for trip in run.comparison.round_trips if trip.failure in REMEDIES]
    if not failed:
        return None
    return Finding(
        f"It does not travel to {listed([trip.strategy for trip in failed])}.",
        f"{_reasons(failed)}.",
        " ".join(dict.fromkeys(REMEDIES[trip.failure] for trip in failed if trip.failure)),
    )


def the_answer_differs(run: ComparisonFigures) -> Finding | None:
    differing = [trip for trip in run.comparison.round_trips if trip.answer == "differs"]
    if not differing:
        return None
    return Finding(
        f"In {listed([trip.strategy for trip in differing])} it gives another answer.",
        f"{differing[0].strategy}: {differing[0].note}.",
        "It depends on where it runs, through a global or the process. Make that an argument before you move the call.",
    )


def pool_costs_more_than_the_work(run: ComparisonFigures) -> Finding | None:
    call = run.verdict.duration
    costly = {
        trip.strategy: overhead(trip)
        for trip in run.comparison.round_trips
        if trip.works and not trip.shared and overhead(trip) >= call
    }
    if not costly:
        return None
    overheads = ", ".join(f"{duration(seconds)} in {strategy}" for strategy, seconds in costly.items())
    return Finding(
        f"The overhead of {listed(list(costly))} is larger than the work itself.",
        f"An empty call with these arguments and this result takes {overheads}; the work takes {duration(call)}.",
        "Do more work in a call, or pass and return less data.",
    )


def too_large_to_pickle(run: ComparisonFigures) -> Finding | None:
    slow = [trip for trip in run.comparison.round_trips if trip.works and pickle_stall(trip) > run.comparison.budget]
    if not slow:
        return None
    worst = max(slow, key=pickle_stall)
    what = "arguments are" if (worst.pickling or 0.0) > (worst.unpickling or 0.0) else "result is"
    return Finding(
        f"The {what} too large to pickle within the budget.",
        f"Pickling the arguments ({size(worst.argument_bytes or 0)}) takes {duration(worst.pickling or 0.0)} and "
        f"unpickling the result ({size(worst.result_bytes or 0)}) takes {duration(worst.unpickling or 0.0)}, in the "
        "loop's own process with its GIL held.",
        "Pass a path, a key or shared memory (multiprocessing.shared_memory) instead. Or process the result in the worker "
        "too, and return only the outcome.",
    )


def interpreters_instead_of_processes(run: ComparisonFigures) -> Finding | None:
    interpreter, process = run.round_trip("interpreter"), run.round_trip("process")
    measures = run.measure("interpreter", run.widest), run.measure("process", run.widest)
    if not interpreter or not process or not measures[0] or not measures[1] or not interpreter.overhead:
        return None
    speeds = [speed or 0.0 for speed in run.speeds(("interpreter", run.widest), ("process", run.widest))]
    if overhead(interpreter) >= run.verdict.duration:
        return None
    if "interpreter" not in run.fastest(("interpreter", "process")):
        return None
    if run.threads_suffice or run.short:
        return None
    return Finding(
        "A pool of interpreters does as well as a pool of processes.",
        f"Calls a second, {run.widest} at once: interpreter {_rate(speeds[0])}, process {_rate(speeds[1])}. Round trip: "
        f"{duration(interpreter.overhead)} and {duration(process.overhead or 0.0)}. Start: "
        f"{duration(measures[0].start_up)} and {duration(measures[1].start_up)}.",
        "Prefer interpreters: they are one process to run and to watch. Extension modules must support subinterpreters, "
        "as those used here do.",
    )


def _reasons(failed: list[RoundTrip]) -> str:
    """Return each strategy's reason, and a reason that several share only once."""
    sharing: dict[str, list[str]] = {}
    for trip in failed:
        sharing.setdefault(trip.reason, []).append(trip.strategy)
    return "; ".join(f"{listed(strategies)}: {reason}" for reason, strategies in sharing.items())


def _rate(calls: float) -> str:
    return f"{calls:.0f}" if calls >= 100 else f"{calls:.3g}"
