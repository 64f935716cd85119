"""Where the call should run: one recommendation, the figures behind it, and what would change it.

It rests on what does not depend on how busy the machine is: the verdict, the duration of a call, the CPU time of pickling.
What was measured beside the loop confirms it, and decides between strategies that are otherwise equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.comparison.figures import ComparisonFigures, overhead, pickle_stall
from gilscope.comparison.findings import findings
from gilscope.formatting import counted, duration, listed, roughly
from gilscope.records.finding import Recommendation

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.comparison import RoundTrip
    from gilscope.records.result import Result

PREFERRED_STRATEGIES = ("interpreter", "process")
"""Of strategies whose speeds are within noise, recommend the first of these: it costs less to start and to run."""
MIN_TIMES_LONGER_STALL = 3
"""Accept a stall of the loop if it replaces one that is this many times as long."""


def recommend(result: Result) -> Recommendation:
    """Return where the callable of a comparison should run."""
    run = ComparisonFigures(result)
    made = next(made for choice in CHOICES if (made := choice(run)) is not None)
    return Recommendation(made.where, made.claim, made.because, made.unless, tuple(findings(run)))


def nowhere_without_an_end(run: ComparisonFigures) -> Recommendation | None:
    if not run.verdict.endless:
        return None
    return Recommendation(
        "",
        "Give the call an end before you decide where it runs.",
        f"It was stopped after {duration(run.verdict.duration)}; {_harm(run)}.",
        ("it ends, but takes longer: then raise the time limit (--timeout, or timeout= in Python)",),
    )


def on_the_loop(run: ComparisonFigures) -> Recommendation | None:
    call, budget = run.verdict.duration, run.comparison.budget
    if not run.short or run.failed("inline"):
        return None
    return Recommendation(
        "inline",
        "Call it on the loop.",
        f"A call takes {duration(call)} of the loop's budget of {duration(budget)}.",
        (
            f"more than {counted(roughly(budget / call), 'call')} run in one turn of the loop",
            f"a call takes longer than {duration(budget)}",
        ),
    )


def in_threads(run: ComparisonFigures) -> Recommendation | None:
    verdict = run.verdict
    if run.failed("thread"):
        return None
    if verdict.kind == "no GIL":
        because, unless = "This Python has no GIL.", ("it runs on a Python with a GIL",)
    elif verdict.kind == "releases" and not (run.stalls and _elsewhere(run)):
        because = f"It releases the GIL for {verdict.released or 0:.0%} of a call's {duration(verdict.duration)}"
        because += f", but {_harm(run)}; {_why_not_elsewhere(run)}" if run.stalls else "."
        unless = ("a future version holds the GIL: assert in your tests that it releases it",)
    else:
        return None
    return Recommendation("thread", f"Give it to a thread pool{_workers(run)}.", because, unless)


def in_a_pool_with_a_gil_of_its_own(run: ComparisonFigures) -> Recommendation | None:
    candidates = _elsewhere(run)
    if not candidates:
        return None
    chosen, equal = _best(run, candidates)
    trip = run.round_trip(chosen)
    assert trip is not None  # noqa: S101 - a candidate has one
    work = duration(run.verdict.duration)
    tie = f" {listed(equal)} {'is' if len(equal) == 1 else 'are'} as fast within noise." if equal else ""
    return Recommendation(
        chosen,
        f"Give it to {_called(chosen)}{_workers(run)}.",
        f"In a thread {_harm(run)}. There the overhead is {duration(overhead(trip))} and the work {work}.{tie}",
        (
            "a future version releases the GIL: then use a thread pool, and nothing is pickled",
            f"the arguments or the result are so large that the overhead reaches the {work} of work",
            "it runs on a Python without a GIL: then use a thread pool",
        ),
    )


def nowhere_while_it_fails(run: ComparisonFigures) -> Recommendation | None:
    """Recommend to mend a call that fails where it would otherwise run."""
    if not (run.failed("thread") or (run.short and run.failed("inline"))):
        return None
    comparison, trials = run.comparison, run.result.trials
    reasons = {trip.strategy: trip.reason for trip in comparison.round_trips if not trip.works}
    reasons |= {trial.strategy: trial.reason for trial in trials if trial.status != "finished"}
    failed = [name for name in reasons if run.failed(name)]
    return Recommendation(
        "",
        f"Mend the call before you move it: it fails under {listed(failed)}.",
        f"{failed[0]}: {reasons[failed[0]]}",
        ("what fails there is mended: then compare again",),
    )


def in_one_thread_for_lack_of_a_better_place(run: ComparisonFigures) -> Recommendation | None:
    """Recommend a thread for a call that takes turns with the loop and cannot run elsewhere."""
    verdict = run.verdict
    if verdict.kind != "yields" and run.hold > run.comparison.budget:
        return None
    return Recommendation(
        "thread",
        "Give it to a pool of one thread, for lack of a better place.",
        f"On the loop it blocks for {duration(verdict.duration)}, in a thread {_harm(run)}; {_why_not_elsewhere(run)}",
        (_what_would_open_a_pool(run), "a future version releases the GIL"),
    )


def nowhere_as_it_is(run: ComparisonFigures) -> Recommendation:
    """Recommend a change of the call, because it keeps the loop waiting wherever it runs."""
    return Recommendation(
        "",
        "Change the call before you move it: as it is, it keeps the loop waiting wherever it runs.",
        f"In a thread {_harm(run)}, on the loop it blocks for {duration(run.verdict.duration)}; {_why_not_elsewhere(run)}",
        (_what_would_open_a_pool(run), "a future version releases the GIL: then use a thread pool"),
    )


CHOICES: tuple[Callable[[ComparisonFigures], Recommendation | None], ...] = (
    nowhere_without_an_end,
    on_the_loop,
    in_threads,
    in_a_pool_with_a_gil_of_its_own,
    nowhere_while_it_fails,
    in_one_thread_for_lack_of_a_better_place,
    nowhere_as_it_is,
)


def _elsewhere(run: ComparisonFigures) -> list[str]:
    """Return the strategies with a GIL of their own that are worth their overhead."""
    return [
        trip.strategy
        for trip in run.comparison.round_trips
        if trip.works
        and not trip.shared
        and trip.answer != "differs"
        and _worth_it(run, trip)
        and run.measure(trip.strategy, 1) is not None
        and not run.failed(trip.strategy)
    ]


def _worth_it(run: ComparisonFigures, trip: RoundTrip) -> bool:
    """Whether the overhead is less than the work, and pickling stalls the loop briefly, or far less than a thread does."""
    acceptable_stall = max(run.comparison.budget, run.hold / MIN_TIMES_LONGER_STALL)
    return overhead(trip) < run.verdict.duration and pickle_stall(trip) <= acceptable_stall


def _best(run: ComparisonFigures, candidates: list[str]) -> tuple[str, list[str]]:
    """Return the fastest strategy, or the preferred one of those within noise of it; and the others of those."""
    alike = run.fastest(candidates)
    alike.sort(
        key=lambda strategy: (
            PREFERRED_STRATEGIES.index(strategy) if strategy in PREFERRED_STRATEGIES else len(PREFERRED_STRATEGIES)
        )
    )
    return alike[0], alike[1:]


def _workers(run: ComparisonFigures) -> str:
    if run.threads_suffice and run.waits:
        return " with as many workers as calls should wait at once"
    cores = run.result.machine.cores
    if run.own_threads:
        return f" with {counted(run.workers, 'worker')}: a call keeps {run.busy_cores:.1f} of {cores:g} cores busy by itself"
    left = f": {cores:g} cores, one of them for the loop" if cores >= 2 else ""
    return f" with {counted(run.workers, 'worker')}{left}"


def _harm(run: ComparisonFigures) -> str:
    """Return what the call does to the loop from a thread."""
    match run.verdict.kind:
        case "yields":
            said = f"it releases the GIL only on request ({run.verdict.yielded or 0:.0%} of a call)"
        case "undecided":
            said = "its effect on the GIL is undecided"
        case _:
            said = f"it keeps the loop waiting for the GIL for up to {duration(run.hold)} at a time"
    lag = run.p99("thread")
    return said if lag is None else f"{said}: the loop's p99 lag was {duration(lag)}"


def _called(strategy: str) -> str:
    known = {"process": "a process pool", "interpreter": "a pool of interpreters", "dask": "the dask cluster"}
    return known.get(strategy, f"the executor {strategy}")


def _why_not_elsewhere(run: ComparisonFigures) -> str:
    """Return what speaks against the process pool, which every Python has, or else against another pool."""
    trips = [t for t in run.comparison.round_trips if not t.shared and t.strategy not in ("inline", "thread")]
    trip = next((t for t in trips if t.strategy == "process"), trips[0] if trips else None)
    if trip is None:
        return "no strategy with a GIL of its own was tried."
    if not trip.works:
        return f"it does not travel to {_called(trip.strategy)}."
    if trip.answer == "differs":
        return f"{_called(trip.strategy)} gives another answer."
    if run.measure(trip.strategy, 1) is None:
        return f"its trial in {_called(trip.strategy)} did not finish."
    return (
        f"the overhead of {_called(trip.strategy)} is {duration(overhead(trip))}, and pickle stalls the loop for "
        f"{duration(pickle_stall(trip))} of it."
    )


def _what_would_open_a_pool(run: ComparisonFigures) -> str:
    trip = next((t for t in run.comparison.round_trips if t.strategy == "process"), None)
    if trip is None or trip.works:
        return "it sends less data (a path or shared memory in, only the outcome back): then use a process pool"
    if trip.failure in ("raised in worker", "result cannot be pickled", "worker died", "timed out"):
        return "it runs in a worker and returns plain data: then use a process pool"
    return "it is a function at the top of a module, with arguments that pickle: then use a process pool"
