"""Every finding that ``compare`` can state, each a rule on a frozen result that returns ``None`` if it does not apply.

This module has the rules on the loop, the GIL and the cores; :mod:`gilscope.comparison.travel_findings` has those on the
round trips.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.comparison import travel_findings as travel
from gilscope.formatting import counted, duration, roughly
from gilscope.records.finding import Finding
from gilscope.records.remedies import REMEDY
from gilscope.records.verdict import remedy

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.comparison.figures import ComparisonFigures

MIN_PARALLEL_GAIN = 1.25
"""If two tasks do less than this many times the work of one, they do not run in parallel."""

ON_THE_LOOP = "A thread gains nothing for so short a call: call it on the loop."


def too_short_to_matter(run: ComparisonFigures) -> Finding | None:
    budget, call = run.comparison.budget, run.verdict.duration
    if not run.short:
        return None
    thread = run.round_trip("thread")
    more = f"; an empty call in a thread takes {duration(thread.empty)}" if thread and thread.empty else ""
    return Finding(
        "One call is too short to matter to the loop.",
        f"It takes {duration(call)}, the loop's budget is {duration(budget)}{more}.",
        f"Call it on the loop. More than {counted(roughly(budget / call), 'call')} in one turn of the loop are too many.",
    )


def no_gil(run: ComparisonFigures) -> Finding | None:
    if run.verdict.kind != "no GIL":
        return None
    return Finding(
        "This Python has no GIL: threads run the call in parallel, and the loop keeps running.",
        f"{_lag(run, 'thread')}{_gain(run, 'thread')}.",
        "Use a thread pool; nothing needs to be pickled.",
    )


def threads_are_right(run: ComparisonFigures) -> Finding | None:
    if run.verdict.kind != "releases" or run.stalls:
        return None
    return Finding(
        "It releases the GIL, so a thread pool keeps the loop free.",
        f"The GIL is free for {run.verdict.released or 0:.0%} of a call's {duration(run.verdict.duration)}"
        f"; {_lag(run, 'thread')}{_gain(run, 'thread')}.",
        "Guard against regressions: gilscope.assert_releases in your tests, or `gilscope check --expect releases` in CI.",
    )


def it_waits(run: ComparisonFigures) -> Finding | None:
    if run.verdict.kind != "releases" or not run.waits or run.short:
        return None
    return Finding(
        "It waits rather than computes.",
        f"It uses CPU time for {run.verdict.cpu:.0%} of a call.",
        "Use as many threads as calls should wait at once, however few cores there are. An asynchronous call "
        "(asyncio.sleep, an asynchronous driver) needs no thread.",
    )


def threads_of_its_own(run: ComparisonFigures) -> Finding | None:
    if not run.own_threads:
        return None
    gain = run.gain("thread")
    more = "" if gain is None else f"; {run.widest} calls at once did {gain:.2f} times the calls of one"
    return Finding(
        "It computes on threads of its own.",
        f"One call at a time kept {run.busy_cores:.1f} cores busy{more}.",
        "One worker is enough while a call uses all cores: more calls at once gain nothing. To leave the loop a core, limit the "
        "call's own threads (RAYON_NUM_THREADS, OMP_NUM_THREADS, or an argument of the library).",
    )


def releases_but_stalls(run: ComparisonFigures) -> Finding | None:
    if not run.stalls:
        return None
    one_hold = run.hold <= (run.verdict.longest_hold or 0.0)
    how = "holds it" if one_hold else "releases it too briefly for another thread to acquire it"
    return Finding(
        f"It releases the GIL for most of a call, and {how} for up to {duration(run.hold)} in between.",
        f"For {run.hogged:.0%} of a call's time, a thread that wants the GIL waits for the end of that.",
        remedy(run.verdict, max_hold=run.comparison.budget),
    )


def threads_stall_the_loop(run: ComparisonFigures) -> Finding | None:
    if run.verdict.kind != "hogs":
        return None
    measure = run.measure("thread", 1)
    how = "for long enough to acquire it" if run.verdict.reason == "brief releases" else "on request"
    longest = run.hold if measure is None or measure.lag.max is None or run.busy else max(run.hold, measure.lag.max)
    return Finding(
        f"In a thread pool it delays the loop by up to {duration(longest)}.",
        f"For {run.hogged:.0%} of a call it holds the GIL and does not release it {how}; {_lag(run, 'thread')}.",
        ON_THE_LOOP if run.short else REMEDY[run.verdict.reason or "hogs"],
    )


def threads_starve_the_loop(run: ComparisonFigures) -> Finding | None:
    if run.verdict.kind != "yields":
        return None
    lag = run.p99("thread")
    return Finding(
        "In a thread pool it delays the loop, again and again: the loop waits for the GIL at each turn."
        if lag is None
        else f"In a thread pool it delays the loop, again and again: by {duration(lag)} at p99.",
        f"For {run.verdict.yielded or 0:.0%} of a call it releases the GIL only on request; {_lag(run, 'thread')}.",
        ON_THE_LOOP
        if run.short
        else f"{REMEDY['yields']} More threads make it worse: the loop waits for each in turn.",
    )


def threads_add_no_throughput(run: ComparisonFigures) -> Finding | None:
    gain = run.gain("thread")
    if run.verdict.kind not in ("hogs", "yields") or gain is None or gain >= MIN_PARALLEL_GAIN or run.own_threads:
        return None
    return Finding(
        "More threads do not do more calls.",
        f"{run.widest} calls at once in threads do {gain:.2f} times the calls of one.",
        "Use processes or interpreters for more throughput: all threads need the same GIL.",
    )


def released_but_not_parallel(run: ComparisonFigures) -> Finding | None:
    gain = run.gain("thread", 2)
    if not run.threads_suffice or gain is None or gain >= MIN_PARALLEL_GAIN or run.own_threads:
        return None
    wanted = run.wanted_cores("thread", 2)
    no_second_core = wanted is None or wanted >= MIN_PARALLEL_GAIN + 0.15 or run.result.machine.cores < 2
    if not run.waits and no_second_core:
        return None  # they could have run in parallel, had the machine had a core for it
    used = "" if run.waits else f", and want {wanted:.2f} cores"
    return Finding(
        "It releases the GIL, but two calls do not run in parallel.",
        f"Two threads do {gain:.2f} times the calls of one{used}: something else lets in only one at a time, such as "
        "a lock.",
        f"{'' if run.stalls else 'Use one thread to free the loop. '}For more throughput, use processes, or one object for "
        "each thread.",
    )


def too_few_cores(run: ComparisonFigures) -> Finding | None:
    cores = run.result.machine.cores
    if cores >= 2 or run.short or run.waits:
        return None
    return Finding(
        "There are too few cores to leave one to the loop.",
        f"{cores:g} available: any computation takes the loop's core, with or without the GIL.",
        "Run the work at a lower priority (os.nice in the workers), or on another machine.",
    )


def the_machine_was_busy(run: ComparisonFigures) -> Finding | None:
    alone = run.alone
    if not run.busy or alone is None or alone.queued is None or alone.cpu is None:
        return None
    return Finding(
        "Other programs were using this machine.",
        f"One call after another used {duration(alone.cpu)} of CPU time and waited {duration(alone.queued)} for a core.",
        "Do not rely on these lags and speeds: on a quiet machine they are better. The verdict and the CPU times are "
        "not affected.",
    )


RULES: tuple[Callable[[ComparisonFigures], Finding | None], ...] = (
    travel.the_answer_differs,
    too_short_to_matter,
    no_gil,
    threads_are_right,
    it_waits,
    threads_of_its_own,
    releases_but_stalls,
    threads_stall_the_loop,
    threads_starve_the_loop,
    threads_add_no_throughput,
    released_but_not_parallel,
    travel.does_not_travel,
    travel.pool_costs_more_than_the_work,
    travel.too_large_to_pickle,
    travel.interpreters_instead_of_processes,
    too_few_cores,
    the_machine_was_busy,
)


def findings(run: ComparisonFigures) -> list[Finding]:
    """Return what the comparison shows, the most important finding first."""
    found = ((rule.__name__, rule(run)) for rule in RULES)
    return [
        finding._replace(name=name, section=f"docs/compare.md#{name.replace('_', '-')}")
        for name, finding in found
        if finding
    ]


def _lag(run: ComparisonFigures, strategy: str) -> str:
    measure = run.measure(strategy, 1)
    if measure is None or measure.lag.p99 is None or measure.lag.max is None:
        return f"{strategy} was not measured"
    floor = run.result.idle.measure
    idle = "" if floor is None or floor.lag.p99 is None else f" (idle loop: {duration(floor.lag.p99)})"
    return f"beside one {strategy} worker, the loop's p99 lag was {duration(measure.lag.p99)}{idle}"


def _gain(run: ComparisonFigures, strategy: str) -> str:
    gain = run.gain(strategy)
    return "" if gain is None else f", and {run.widest} calls at once did {gain:.2f} times the calls of one"
