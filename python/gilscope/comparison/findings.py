"""Every finding that ``compare`` can state, each a rule on a frozen result. One appears only where the run bears it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.comparison.figures import cost
from gilscope.comparison.travel import CAME_BACK
from gilscope.formatting import counted, duration, roughly, size
from gilscope.records.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.comparison.figures import Compared
    from gilscope.records.comparison import Passage

NO_GAIN = 1.25
"""Two tasks that do less than this much more than one do not run in parallel."""
WAITS = 0.5
"""Below this share of a call spent computing, a call waits rather than computes."""
STARTLING = 0.05
"""From this share of a call's time on, its long holds are worth a word beside a verdict that is not ``hogs``."""
NOT_FOUND = (
    "local object",
    "attribute lookup",
    "Can't get attribute",
    "has no attribute",
    "not the same object",
    "No module",
)
"""Words of pickle's and of the import system's where what a pickle names is not found by that name."""


def too_short_to_matter(run: Compared) -> Finding | None:
    budget, call = run.comparison.budget, run.verdict.duration
    if not run.short:
        return None
    thread = run.passage("thread")
    dearer = f"; to hand it to a thread takes {duration(thread.hand_over)}" if thread and thread.hand_over else ""
    return Finding(
        "One call is too short to matter to the loop.",
        f"It takes {duration(call)}, the loop's budget is {duration(budget)}{dearer}.",
        f"Call it on the loop. More than {counted(roughly(budget / call), 'call')} in one turn are too many.",
    )


def no_gil(run: Compared) -> Finding | None:
    if run.verdict.kind != "no GIL":
        return None
    return Finding(
        "This Python has no GIL: threads run it in parallel, and beside the loop.",
        f"{_lag(run, 'thread')}{_gain(run, 'thread')}.",
        "A thread pool is all it takes; nothing need be pickled.",
    )


def threads_are_right(run: Compared) -> Finding | None:
    if run.verdict.kind != "releases":
        return None
    return Finding(
        "It releases the GIL, so a thread pool keeps the loop free.",
        f"{run.verdict.released or 0:.0%} of a call's {duration(run.verdict.duration)} the GIL is free"
        f"; {_lag(run, 'thread')}{_gain(run, 'thread')}.",
        "Hold on to that: gilscope.assert_releases, or `gilscope check --expect releases`, in your tests.",
    )


def it_waits(run: Compared) -> Finding | None:
    if run.verdict.kind != "releases" or run.verdict.cpu >= WAITS or run.short:
        return None
    return Finding(
        "It waits rather than computes.",
        f"It computes during {run.verdict.cpu:.0%} of a call.",
        "Have as many threads as calls should wait at once, however few cores there are; an asynchronous call "
        "(asyncio.sleep, an asynchronous driver) needs none.",
    )


def releases_but_stalls(run: Compared) -> Finding | None:
    if run.verdict.kind != "releases" or run.hogged < STARTLING or run.stretch <= run.comparison.budget:
        return None
    return Finding(
        f"It releases the GIL for most of a call, and holds it for {duration(run.stretch)} at a stretch.",
        f"{run.hogged:.0%} of a call's time a thread that asks for the GIL waits for the end of such a stretch.",
        "Split that stretch off, or run it where it has a GIL of its own.",
    )


def threads_stall_the_loop(run: Compared) -> Finding | None:
    if run.verdict.kind != "hogs":
        return None
    return Finding(
        f"In a thread pool it delays the loop by up to {duration(run.stretch)}.",
        f"For {run.hogged:.0%} of a call it holds the GIL at a stretch and gives it to nobody; {_lag(run, 'thread')}.",
        "Run it in another process or interpreter; if it is yours, release the GIL in it.",
    )


def threads_starve_the_loop(run: Compared) -> Finding | None:
    if run.verdict.kind != "yields":
        return None
    return Finding(
        "In a thread pool it delays the loop by the switch interval (5 ms), again and again.",
        f"{run.verdict.yielded or 0:.0%} of a call it gives the GIL up only when asked; {_lag(run, 'thread')}.",
        "More threads make it worse: each is waited for in turn. Run it in another process or interpreter.",
    )


def threads_add_no_throughput(run: Compared) -> Finding | None:
    gain = run.gain("thread")
    if run.verdict.kind not in ("hogs", "yields") or gain is None or gain >= NO_GAIN:
        return None
    return Finding(
        "More threads do not do more of it.",
        f"{run.widest} at once in threads do {gain:.2f} times the calls of one.",
        "All of them need the one GIL. More throughput takes processes or interpreters.",
    )


def released_but_not_parallel(run: Compared) -> Finding | None:
    one, two = run.speed("thread", 1), run.speed("thread", 2)
    if run.verdict.kind not in ("releases", "no GIL") or not one or not two or two / one >= NO_GAIN:
        return None
    wanted = run.wanted("thread", 2)
    computes = run.verdict.cpu >= WAITS
    if computes and (wanted is None or wanted >= NO_GAIN + 0.15 or run.result.machine.cores < 2):
        return None  # they could have run at once, and the machine had no core for it
    used = f", and want {wanted:.2f} cores" if computes else ""
    return Finding(
        "It releases the GIL, but two calls do not run at once.",
        f"Two threads do {two / one:.2f} times the calls of one{used}: something else lets only one in, such as a lock "
        "inside.",
        "One thread is enough to free the loop; more throughput takes processes, or an object for each thread.",
    )


def pool_costs_more_than_the_work(run: Compared) -> Finding | None:
    call = run.verdict.duration
    dear = {
        passage.strategy: cost(passage)
        for passage in run.comparison.passages
        if passage.travels and not passage.shared and cost(passage) >= call
    }
    if not dear:
        return None
    costs = ", ".join(f"{strategy} {duration(one)}" for strategy, one in dear.items())
    return Finding(
        f"The way to {_names(list(dear))} and back costs more than the work itself.",
        f"An empty call with these arguments and this result takes {costs}; the work {duration(call)}.",
        "Do more in a call, or carry less.",
    )


def too_large_to_pickle(run: Compared) -> Finding | None:
    large = [p for p in run.comparison.passages if p.travels and _stall(p) > run.comparison.budget]
    if not large:
        return None
    worst = max(large, key=_stall)
    what = "arguments are" if (worst.packing or 0.0) > (worst.unpacking or 0.0) else "result is"
    return Finding(
        f"The {what} too large to pickle cheaply.",
        f"Pickling the arguments ({size(worst.arguments or 0)}) takes {duration(worst.packing or 0.0)} and unpickling the "
        f"result ({size(worst.result or 0)}) {duration(worst.unpacking or 0.0)}, in the loop's own process with its GIL "
        "held.",
        "Pass a path, a key or shared memory (multiprocessing.shared_memory) instead, or do in the worker what is done "
        "with the result, and return only what that comes to.",
    )


def does_not_travel(run: Compared) -> Finding | None:
    staying = [p for p in run.comparison.passages if not p.travels and p.reason and p.strategy not in _unavailable(run)]
    if not staying:
        return None
    return Finding(
        f"It does not travel to {_names([p.strategy for p in staying])}.",
        f"{_reasons(staying)}.",
        " ".join(dict.fromkeys(_remedy(p.reason) for p in staying)),
    )


def the_answer_differs(run: Compared) -> Finding | None:
    differing = [p for p in run.comparison.passages if p.answer == "differs"]
    if not differing:
        return None
    return Finding(
        f"In {_names([p.strategy for p in differing])} it gives another answer.",
        f"{differing[0].strategy}: {differing[0].note}.",
        "It depends on where it runs, on a global or on the process: make that an argument before you move it.",
    )


def interpreters_instead_of_processes(run: Compared) -> Finding | None:
    interpreter, process = run.passage("interpreter"), run.passage("process")
    started = [run.measure(strategy, run.widest) for strategy in ("interpreter", "process")]
    if not interpreter or not process or not started[0] or not started[1] or not interpreter.carried:
        return None
    speeds = run.speed("interpreter", run.widest) or 0.0, run.speed("process", run.widest) or 0.0
    if cost(interpreter) >= run.verdict.duration:
        return None
    if speeds[0] < speeds[1] and not run.alike("interpreter", "process"):
        return None
    if run.verdict.kind in ("releases", "no GIL") or run.short:
        return None
    return Finding(
        "A pool of interpreters does as well as a pool of processes.",
        f"Calls a second, {run.widest} at once: interpreter {_rate(speeds[0])}, process {_rate(speeds[1])}; there and back "
        f"{duration(interpreter.carried)} against {duration(process.carried or 0.0)}; started in "
        f"{duration(started[0].start_up)} against {duration(started[1].start_up)}.",
        "One process to run and to watch; extension modules must support subinterpreters, as those used here do.",
    )


def too_few_cores(run: Compared) -> Finding | None:
    cores = run.result.machine.cores
    if cores >= 2 or run.short or run.verdict.cpu < WAITS:
        return None
    return Finding(
        "There are too few cores to leave one to the loop.",
        f"{cores:g} to be had: whatever computes takes the loop's processor from it, GIL or none.",
        "Run the work at a lower priority (os.nice in the workers), or on another machine.",
    )


def the_machine_was_busy(run: Compared) -> Finding | None:
    alone = run.measure("inline", 1) or run.measure("thread", 1)
    if not run.busy or alone is None or alone.queued is None or alone.cpu is None:
        return None
    return Finding(
        "Other programs were using this machine.",
        f"One call after another computed for {duration(alone.cpu)} and waited {duration(alone.queued)} for a processor.",
        "Lags and speeds are worse than they would be; the verdict and the costs in processor time are not affected.",
    )


RULES: tuple[Callable[[Compared], Finding | None], ...] = (
    the_answer_differs,
    too_short_to_matter,
    no_gil,
    threads_are_right,
    it_waits,
    releases_but_stalls,
    threads_stall_the_loop,
    threads_starve_the_loop,
    threads_add_no_throughput,
    released_but_not_parallel,
    does_not_travel,
    pool_costs_more_than_the_work,
    too_large_to_pickle,
    interpreters_instead_of_processes,
    too_few_cores,
    the_machine_was_busy,
)


def observations(run: Compared) -> list[Finding]:
    """Return what the comparison shows, the most telling first."""
    found = ((rule.__name__, rule(run)) for rule in RULES)
    return [
        finding._replace(name=name, section=f"docs/compare.md#{name.replace('_', '-')}")
        for name, finding in found
        if finding
    ]


def _reasons(staying: list[Passage]) -> str:
    """Tell each strategy's reason, and one that several share once."""
    sharing: dict[str, list[str]] = {}
    for passage in staying:
        sharing.setdefault(passage.reason, []).append(passage.strategy)
    return "; ".join(f"{_names(strategies)}: {reason}" for reason, strategies in sharing.items())


def _remedy(reason: str) -> str:
    """Return what helps against ``reason``: it is Python's own text, which only its words tell apart."""
    if "under `if __name__" in reason:
        return "Put the call under `if __name__ == '__main__':`, or the function into a module of its own."
    if reason.startswith(CAME_BACK):
        return "Return plain data." if "pickle" in reason else "See to what the call raises there."
    if any(words in reason for words in NOT_FOUND):
        return "Define the function at the top of a module that can be imported."
    return "Pass plain data." if "pickle" in reason else "See to what is raised there."


def _stall(passage: Passage) -> float:
    """Return the longest that pickling keeps the caller's loop waiting."""
    return max(passage.packing or 0.0, passage.unpacking or 0.0)


def _unavailable(run: Compared) -> set[str]:
    """Return the strategies that are not to be had here at all: not this callable's doing."""
    return {p.strategy for p in run.comparison.passages if p.unavailable}


def _names(strategies: list[str]) -> str:
    return strategies[0] if len(strategies) == 1 else f"{', '.join(strategies[:-1])} and {strategies[-1]}"


def _lag(run: Compared, strategy: str) -> str:
    measure = run.measure(strategy, 1)
    if measure is None or measure.lag.p99 is None or measure.lag.max is None:
        return f"{strategy} was not measured"
    floor = run.result.idle.measure
    idle = "" if floor is None or floor.lag.p99 is None else f" (idle loop: p99 {duration(floor.lag.p99)})"
    return f"the loop was {duration(measure.lag.p99)} late at the p99 beside one {strategy} worker{idle}"


def _gain(run: Compared, strategy: str) -> str:
    gain = run.gain(strategy)
    return "" if gain is None else f", and {run.widest} at once did {gain:.2f} times the calls of one"


def _rate(calls: float) -> str:
    return f"{calls:.0f}" if calls >= 100 else f"{calls:.3g}"
