"""Every finding that the demo can state, each a rule on a frozen result that returns ``None`` if it does not apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.demo.figures import DemoFigures
from gilscope.formatting import listed, milliseconds
from gilscope.records.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.result import Lag, Measure, Result


MIN_CPU_SHARE = 0.8
"""If tasks that all want a core get less than this share of the cores, other programs are using the machine."""


def findings(result: Result) -> list[Finding]:
    """Return what ``result`` shows, the most important finding first."""
    figures = DemoFigures(result)
    return [finding._replace(name=rule.__name__) for rule in RULES if (finding := rule(figures)) is not None]


def warnings(result: Result) -> list[str]:
    """Return what makes the figures of ``result`` worse than the measured code deserves."""
    figures, plan, machine = DemoFigures(result), result.plan, result.machine
    wanted = min(plan.concurrency, machine.cores)
    got = figures.cores("thread/released")
    if got is None or got > MIN_CPU_SHARE * wanted:
        return []
    warning = (
        f"Other programs were using this machine: thread/released got {got:.2f} of the {wanted:g} cores that it had work "
        "for. All lags and start-up times are longer for that. Compare cases with each other, and do not rely on a single "
        "figure."
    )
    return [warning]


def releasing_frees_the_loop(run: DemoFigures) -> Finding | None:
    held, released = run.measure("thread/held"), run.measure("thread/released")
    if not held or not released or not _much_later(held.lag, released.lag):
        return None
    return Finding(
        "Releasing the GIL is what makes a thread pool work for CPU-bound code.",
        f"The same Rust countdown in the same pool: with the GIL held, {_came(held)} and the lag's p99 was {_p99(held)}. "
        f"With the GIL released, {_came(released)} and the p99 was {_p99(released)}.",
        "Release the GIL around native work that takes more than 0.1 ms: py.detach in PyO3, Py_BEGIN_ALLOW_THREADS in C, "
        "nogil in Cython.",
    )


def releasing_does_not_help_inline(run: DemoFigures) -> Finding | None:
    released = run.measure("inline/released")
    if not released or released.lag.came * 10 > released.lag.due:
        return None
    return Finding(
        "Releasing the GIL does not help on the loop's own thread.",
        f"In inline/released {_came(released)}: the GIL was free, but the thread that runs the loop was busy.",
        "Call the code in a pool (asyncio.to_thread) and await it.",
    )


def one_gil_does_the_work_of_one(run: DemoFigures) -> Finding | None:
    tasks, cases = run.result.plan.concurrency, ("thread/python", "thread/held", "thread/released")
    works = {case: work for case in cases if (work := run.work_with_cores(case)) is not None}
    released = works.get("thread/released")
    alike = [work for case, work in works.items() if case != "thread/released"]
    if tasks < 2 or not alike or released is None or max(alike) > 1.25 or released < 1.5:
        return None
    corrected = [case for case in works if run.sure_work(case) is None]
    if_they_had = f", if {listed(corrected)} had had a whole core whenever they wanted one" if corrected else ""
    return Finding(
        f"{tasks} tasks that need the GIL do the work of one.",
        f"Work a second, relative to one task alone{if_they_had}: {', '.join(f'{c} {w:.2f}' for c, w in works.items())}.",
        "Release the GIL, or use processes: more threads add nothing to Python code, or to native code that holds the GIL.",
    )


def python_threads_starve_by_turns(run: DemoFigures) -> Finding | None:
    thread, process = run.measure("thread/python"), run.measure("process/python")
    if not thread or not process or not _much_later(thread.lag, process.lag):
        return None
    return Finding(
        "Python in a thread pool looks harmless at one tick a second, and is not.",
        f"Half of the ticks were less than {_p50(thread)} late in thread/python, and less than {_p50(process)} in "
        f"process/python: at the article's one tick a second, both look alike. At this finer tick they do not: the p99 is "
        f"{_p99(thread)} and {_p99(process)}; {_came(thread)} and {process.lag.came} of {process.lag.due}.",
        "Use processes, or fewer threads: each busy thread keeps the GIL for up to the switch interval (5 ms) in turn.",
    )


def a_process_pool_costs_its_start(run: DemoFigures) -> Finding | None:
    thread = run.measure("thread/released") or run.measure("thread/python")
    process = run.measure("process/released") or run.measure("process/python")
    if not thread or not process or process.start_up < 3 * thread.start_up:
        return None
    return Finding(
        "A process pool keeps the loop free as well, at a price.",
        f"{_came(process)}, p99 {_p99(process)}. Its {run.result.plan.concurrency} workers took {process.start_up:.2f} s "
        f"to start, those of the thread pool {thread.start_up:.3f} s.",
        "Start the pool once, and early. Arguments and results are pickled and copied between processes.",
    )


def cooperating_costs_speed(run: DemoFigures) -> Finding | None:
    cooperative, inline = run.measure("cooperative/python"), run.measure("inline/python")
    work = run.sure_work("cooperative/python")
    if not cooperative or not inline or work is None or work > 0.9 or not _much_later(inline.lag, cooperative.lag):
        return None
    return Finding(
        "Awaiting sleep(0) again and again frees the loop, and slows down the work.",
        f"cooperative/python: {_came(cooperative)}, p99 {_p99(cooperative)}; it does {work:.2f} of the work of one task.",
        "Use it only if the work must stay on the loop's thread; otherwise use a pool.",
    )


def no_core_is_left_for_the_loop(run: DemoFigures) -> Finding | None:
    idle, released = run.measure("idle"), run.measure("thread/released")
    plan, cores = run.result.plan, run.result.machine.cores
    if not idle or not released or plan.concurrency < cores or not _much_later(released.lag, idle.lag):
        return None
    if warnings(run.result):
        return None
    return Finding(
        "No core was left for the loop.",
        f"{plan.concurrency} tasks on {cores:g} cores: the lag's p99 was {_p99(released)} in thread/released, and "
        f"{_p99(idle)} on the idle loop. The reason is the system's scheduling, not the GIL.",
        "Give the pool one worker fewer than there are cores.",
    )


RULES: tuple[Callable[[DemoFigures], Finding | None], ...] = (
    releasing_frees_the_loop,
    releasing_does_not_help_inline,
    one_gil_does_the_work_of_one,
    python_threads_starve_by_turns,
    a_process_pool_costs_its_start,
    cooperating_costs_speed,
    no_core_is_left_for_the_loop,
)


def _much_later(one: Lag, other: Lag) -> bool:
    """Whether the p99 of ``one`` is larger by more than noise: three times as large, and by more than 2 ms."""
    return one.p99 is not None and other.p99 is not None and one.p99 > 3 * other.p99 and one.p99 - other.p99 > 0.002


def _came(measure: Measure) -> str:
    return f"{measure.lag.came} of {measure.lag.due} ticks came"


def _p50(measure: Measure) -> str:
    return f"{milliseconds(measure.lag.p50 or 0.0)} ms"


def _p99(measure: Measure) -> str:
    return f"{milliseconds(measure.lag.p99 or 0.0)} ms"
