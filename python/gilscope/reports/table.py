"""A demo for a terminal: a table with one row for each case, and the findings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gilscope.demo.figures import DemoFigures
from gilscope.demo.findings import findings, warnings
from gilscope.formatting import listed, milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from gilscope.records.finding import Finding
    from gilscope.records.result import Bins, Result, Trial
    from gilscope.trial.work import Work

COLUMNS = ("case", "ticks", "lag p50", "p99", "max", "work", "+-", "cores")
MAX_STRIP_COLUMNS = 60
LEGEND = (
    "idle: the loop alone. ticks: came/due. lag: how late a tick was, in ms; a missed tick counts with the lateness it had when the loop ran "
    "again. work: done per second, relative to one task alone at that time (+- half the distance of its quartiles; ? unreliable). "
    "cores: kept busy meanwhile. "
    "in time: | every tick came, : at least half, . fewer, blank: none."
)


def parts(result: Result, width: int) -> Iterator[RenderableType]:
    """Yield the table of a demo and its findings, for a terminal of this width."""
    yield Text(title(result), style="bold")
    yield Text(where(result), style="dim")
    yield ""
    yield _table(result, width)
    yield from (Text(line, style="yellow") for line in (*missing(result), *warnings(result), *doubts(result)))
    yield Text(LEGEND, style="dim")
    if started := starts(result):
        yield Text(started, style="dim")
    yield from numbered(findings(result))


def numbered(found: Sequence[Finding]) -> Iterator[RenderableType]:
    """Yield the findings, numbered, each with its evidence and its remedy."""
    for number, finding in enumerate(found, 1):
        yield ""
        yield Text(f"{number}. {finding.claim}", style="bold")
        yield Padding(Group(finding.evidence, Text(f"-> {finding.remedy}", style="green")), (0, 0, 0, 3))


def title(result: Result) -> str:
    plan = result.plan
    length = f"of {plan.count} steps" if plan.count is not None else f"of {plan.duration:g} s each"
    tasks = "1 task at a time" if plan.concurrency == 1 else f"{plan.concurrency} tasks at once"
    return (
        f"gilscope {result.kind}: {tasks} {length}, a tick every {plan.tick * 1000:g} ms, {plan.seconds:g} s per case"
    )


def where(result: Result) -> str:
    machine = result.machine
    gil = "GIL on" if machine.gil else "no GIL"
    return (
        f"{machine.implementation} {machine.python} ({gil}), {machine.system}, {machine.processor}, "
        f"{machine.cores:g} cores; {result.created}"
    )


def _table(result: Result, width: int) -> Table:
    trials = [result.idle, *result.trials]
    rows = [cells(result, trial) for trial in trials]
    used = sum(max(len(name), *(len(row[i]) for row in rows)) + 1 for i, name in enumerate(COLUMNS))
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "case" else "right", no_wrap=True)
    table.add_column("in time", no_wrap=True)
    for trial, row in zip(trials, rows, strict=True):
        ticks = strip(trial.measure.ticks, max(8, min(MAX_STRIP_COLUMNS, width - used))) if trial.measure else ""
        table.add_row(*row, ticks)
    return table


def cells(result: Result, trial: Trial) -> tuple[str, ...]:
    """Return the row of one of ``result``'s trials: a cell for each of :data:`COLUMNS`."""
    if trial.measure is None:
        return (trial.case, trial.status, *[""] * (len(COLUMNS) - 2))
    lag = trial.measure.lag
    lags = ("-" if value is None else milliseconds(value) for value in (lag.p50, lag.p99, lag.max))
    figures = DemoFigures(result)
    work = figures.work(trial.case)
    cores = figures.cores(trial.case) if work is None or math.isinf(work.cores) else work.cores
    return (
        trial.case,
        f"{lag.came}/{lag.due}",
        *lags,
        *(("", "") if work is None else _work(work)),
        "" if cores is None else f"{cores:.2f}",
    )


def _work(work: Work) -> tuple[str, str]:
    """Return the work, marked if it is doubtful, and half the distance of its quartiles, if it has any."""
    spread = (work.high - work.low) / 2
    return f"{'?' if work.doubt else ''}{work.value:.2f}", f"{spread:.2f}" if spread else ""


def strip(bins: Bins, columns: int) -> str:
    """Return the ticks over time in at most ``columns`` characters, each for the share of the due ticks that came."""
    columns = min(columns, len(bins.due))
    due, came = [0] * columns, [0] * columns
    for place, (wanted, got) in enumerate(zip(bins.due, bins.came, strict=True)):
        due[place * columns // len(bins.due)] += wanted
        came[place * columns // len(bins.due)] += got
    return "".join(_mark(wanted, got) for wanted, got in zip(due, came, strict=True)).rstrip()


def _mark(due: int, came: int) -> str:
    if came == 0:
        return " "
    return "|" if came >= due else ":" if 2 * came >= due else "."


def missing(result: Result) -> Iterator[str]:
    for trial in result.trials:
        if trial.measure is None:
            yield f"{trial.case} {trial.status}: {trial.reason}"
    if result.interrupted:
        yield "Interrupted: the remaining cases did not run."


def doubts(result: Result) -> Iterator[str]:
    """Yield a line for each reason why the work of some cases cannot be relied on."""
    figures = DemoFigures(result)
    cases: dict[str, list[str]] = {}
    for trial in result.trials:
        work = figures.work(trial.case)
        if work is not None and work.doubt:
            cases.setdefault(work.doubt, []).append(trial.case)
    yield from (f"? Do not rely on the work of {listed(names)}: {doubt}." for doubt, names in cases.items())


def starts(result: Result) -> str:
    """Return how long each kind of worker took to start; no other figure includes that."""
    slowest: dict[str, float] = {}
    for trial in result.trials:
        strategy = trial.case.partition("/")[0]
        if trial.measure is not None and strategy not in ("inline", "cooperative"):
            slowest[strategy] = max(slowest.get(strategy, 0.0), trial.measure.start_up)
    if not slowest:
        return ""
    took = ", ".join(f"{strategy} {milliseconds(seconds)} ms" for strategy, seconds in slowest.items())
    return f"Starting and warming up {result.plan.concurrency} workers, before the clock started: {took}."
