"""Where the call should run: one recommendation, its reasons in figures, and what would change it.

It rests on what does not depend on how busy the machine is: the verdict, the length of a call, what pickling costs in
processor time. What was measured beside the loop confirms it, and decides between strategies that are equal in that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilscope.comparison.figures import Compared, cost
from gilscope.comparison.findings import STARTLING, WAITS, observations
from gilscope.comparison.travel import CAME_BACK
from gilscope.formatting import counted, duration, roughly

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.comparison import Passage
    from gilscope.records.finding import Finding
    from gilscope.records.result import Result

PREFERRED = ("interpreter", "process")
"""Of strategies whose speeds are within noise the earlier is recommended: it is the cheaper to start and to run."""
MUCH_LESS = 3
"""A stall is worth having instead of another that is so many times as long."""


@dataclass(frozen=True)
class Recommendation:
    """What to do. ``where`` is the strategy's name, or empty where none will do as the call is."""

    where: str
    claim: str
    because: str
    """The figures that decided."""
    unless: tuple[str, ...]
    """What would change it."""
    findings: tuple[Finding, ...] = ()


def recommend(result: Result) -> Recommendation:
    """Return where the callable of a comparison should run."""
    run = Compared(result)
    made = next(made for choice in CHOICES if (made := choice(run)) is not None)
    return Recommendation(made.where, made.claim, made.because, made.unless, tuple(observations(run)))


def on_the_loop(run: Compared) -> Recommendation | None:
    call, budget = run.verdict.duration, run.comparison.budget
    if not run.short:
        return None
    return Recommendation(
        "inline",
        "Call it on the loop.",
        f"A call takes {duration(call)} of the {duration(budget)} that the loop may be kept waiting.",
        (
            f"more than {counted(roughly(budget / call), 'call')} in one turn of the loop",
            f"calls that last longer than {duration(budget)}",
        ),
    )


def in_threads(run: Compared) -> Recommendation | None:
    verdict, budget = run.verdict, run.comparison.budget
    stalls = run.hogged >= STARTLING and run.stretch > budget
    if verdict.kind == "no GIL":
        because, unless = "This build has no GIL.", ("a build with one",)
    elif verdict.kind == "releases" and not (stalls and _elsewhere(run)):
        because = f"It releases the GIL for {verdict.released or 0:.0%} of a call's {duration(verdict.duration)}."
        unless = ("a version of it that holds the GIL: have your tests assert that it releases it",)
    else:
        return None
    return Recommendation("thread", f"Give it to a thread pool{_workers(run)}.", because, unless)


def in_a_pool_with_a_gil_of_its_own(run: Compared) -> Recommendation | None:
    candidates = _elsewhere(run)
    if not candidates:
        return None
    chosen, equal = _best(run, candidates)
    passage = run.passage(chosen)
    assert passage is not None  # noqa: S101 - a candidate is one
    verdict = run.verdict
    tie = f" {' and '.join(equal)} {'is' if len(equal) == 1 else 'are'} within noise of it." if equal else ""
    return Recommendation(
        chosen,
        f"Give it to {_called(chosen)}{_workers(run)}.",
        f"In a thread {_harm(run)}; the way there and back costs {duration(cost(passage))}, the work "
        f"{duration(verdict.duration)}.{tie}",
        (
            "the GIL released in it: then a thread pool does, and nothing is pickled",
            f"arguments or a result so large that the way costs as much as the {duration(verdict.duration)} of work",
            "a Python without a GIL: then threads",
        ),
    )


def in_threads_for_want_of_better(run: Compared) -> Recommendation | None:
    """It takes turns with the loop, and nothing else will have it."""
    verdict = run.verdict
    if verdict.kind != "yields" and run.stretch > run.comparison.budget:
        return None
    return Recommendation(
        "thread",
        "Give it to a pool of one thread, for want of better.",
        f"On the loop it blocks for {duration(verdict.duration)}, in a thread {_harm(run)}; {_why_not_elsewhere(run)}",
        (_what_would_open_a_pool(run), "the GIL released in it"),
    )


def nowhere_as_it_is(run: Compared) -> Recommendation:
    """Wherever it runs, the loop is kept waiting."""
    return Recommendation(
        "",
        "Change the call before you move it: as it is, it keeps the loop waiting wherever it runs.",
        f"In a thread {_harm(run)}, on the loop it blocks for {duration(run.verdict.duration)}; {_why_not_elsewhere(run)}",
        (_what_would_open_a_pool(run), "the GIL released in it: then a thread pool"),
    )


CHOICES: tuple[Callable[[Compared], Recommendation | None], ...] = (
    on_the_loop,
    in_threads,
    in_a_pool_with_a_gil_of_its_own,
    in_threads_for_want_of_better,
    nowhere_as_it_is,
)


def _elsewhere(run: Compared) -> list[str]:
    """Return the strategies with a GIL of their own that this call gains by, and whose pickling the loop can bear."""
    return [
        passage.strategy
        for passage in run.comparison.passages
        if passage.travels
        and not passage.shared
        and passage.answer != "differs"
        and _worth_the_way(run, passage)
        and run.measure(passage.strategy, 1) is not None
    ]


def _worth_the_way(run: Compared, passage: Passage) -> bool:
    """Whether the way costs less than the work, and pickling keeps the loop waiting briefly, or far less than a thread."""
    stall = max(passage.packing or 0.0, passage.unpacking or 0.0)
    bearable = max(run.comparison.budget, run.stretch / MUCH_LESS)
    return cost(passage) < run.verdict.duration and stall <= bearable


def _best(run: Compared, candidates: list[str]) -> tuple[str, list[str]]:
    """Return the strategy that does most, or the preferred one of those within noise of it; and the others of those."""
    fastest = max(candidates, key=lambda strategy: run.speed(strategy, run.widest) or 0.0)
    alike = [strategy for strategy in candidates if strategy == fastest or run.alike(strategy, fastest)]
    alike.sort(key=lambda strategy: PREFERRED.index(strategy) if strategy in PREFERRED else len(PREFERRED))
    return alike[0], alike[1:]


def _workers(run: Compared) -> str:
    if run.verdict.kind in ("releases", "no GIL") and run.verdict.cpu < WAITS:
        return " with as many workers as calls should wait at once"
    cores = run.result.machine.cores
    left = f": {cores:g} cores, one of them for the loop" if cores >= 2 else ""
    return f" with {counted(run.workers, 'worker')}{left}"


def _harm(run: Compared) -> str:
    """Tell what it does to the loop in a thread."""
    match run.verdict.kind:
        case "yields":
            return f"it gives the GIL up only every switch interval (5 ms; {run.verdict.yielded or 0:.0%} of a call)"
        case "undecided":
            return "what it does to the GIL is undecided"
    return f"it holds the GIL for up to {duration(run.stretch)} at a stretch"


def _called(strategy: str) -> str:
    known = {"process": "a process pool", "interpreter": "a pool of interpreters", "dask": "the dask cluster"}
    return known.get(strategy, f"the executor {strategy}")


def _why_not_elsewhere(run: Compared) -> str:
    """Tell for the process pool, which everybody has, what is in the way."""
    passages = [p for p in run.comparison.passages if not p.shared and p.strategy not in ("inline", "thread")]
    passage = next((p for p in passages if p.strategy == "process"), passages[0] if passages else None)
    if passage is None:
        return "no strategy with a GIL of its own was tried."
    if not passage.travels:
        return f"it does not travel to {_called(passage.strategy)}."
    if passage.answer == "differs":
        return f"{_called(passage.strategy)} gives another answer."
    if run.measure(passage.strategy, 1) is None:
        return f"its trial in {_called(passage.strategy)} did not end well."
    packing, unpacking = passage.packing or 0.0, passage.unpacking or 0.0
    return (
        f"the way to {_called(passage.strategy)} and back costs {duration(cost(passage))}, of which the loop waits "
        f"{duration(max(packing, unpacking))} for pickle."
    )


def _what_would_open_a_pool(run: Compared) -> str:
    staying = [p for p in run.comparison.passages if p.strategy == "process" and not p.travels]
    if staying and staying[0].reason.startswith(CAME_BACK):
        return "a call that runs in a worker and returns plain data: then a process pool"
    if staying:
        return "a function at the top of a module, with arguments that pickle: then a process pool"
    return "less to carry (a path or shared memory in, only the outcome back): then a process pool"
