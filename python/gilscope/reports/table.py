"""A result as a table and findings in words, for a terminal; readable in 80 columns and without colour."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gilscope.demo.figures import DemoFigures
from gilscope.demo.findings import findings, warnings
from gilscope.formatting import milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import ConsoleOptions, RenderableType, RenderResult

    from gilscope.records.finding import Finding
    from gilscope.records.result import Bins, Result, Trial

COLUMNS = ("case", "ticks", "lag p50", "p99", "max", "work", "cores")
WIDEST_STRIP = 60
LEGEND = (
    "ticks: came/due. lag: how late a tick was, in ms; one that never came counts with the lateness that it had when the "
    "loop was next served. work: done a second, against one task alone. cores: kept busy. "
    "in time: | every tick came, : most, . few, blank none."
)


class Report:
    """A result, as a terminal of any width shows it."""

    def __init__(self, result: Result) -> None:
        self._result = result

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from _parts(self._result, options.max_width)


def text(result: Result, width: int = 100) -> str:
    """Return the report as plain text."""
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(Report(result))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _parts(result: Result, width: int) -> Iterator[RenderableType]:
    if result.comparison is not None:
        from gilscope.reports.comparison import parts

        yield from parts(result, width)
        return
    yield Text(title(result), style="bold")
    yield Text(where(result), style="dim")
    yield ""
    yield _table(result, width)
    yield from (Text(line, style="yellow") for line in (*missing(result), *warnings(result)))
    yield Text(LEGEND, style="dim")
    if started := starts(result):
        yield Text(started, style="dim")
    yield from numbered(findings(result))


def numbered(found: Sequence[Finding]) -> Iterator[RenderableType]:
    """Yield findings with their evidence and their remedy."""
    for number, finding in enumerate(found, 1):
        yield ""
        yield Text(f"{number}. {finding.claim}", style="bold")
        yield Padding(Group(finding.evidence, Text(f"-> {finding.remedy}", style="green")), (0, 0, 0, 3))


def title(result: Result) -> str:
    if result.comparison is not None:
        from gilscope.comparison.figures import ComparisonFigures
        from gilscope.reports import comparison

        return comparison.title(ComparisonFigures(result))
    plan = result.plan
    length = f"of {plan.count} steps" if plan.count is not None else f"of {plan.duration:g} s each"
    tasks = "1 task at a time" if plan.concurrency == 1 else f"{plan.concurrency} tasks at once"
    return f"gilscope {result.kind}: {tasks} {length}, a tick every {plan.tick * 1000:g} ms, {plan.seconds:g} s a case"


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
        ticks = strip(trial.measure.ticks, max(8, min(WIDEST_STRIP, width - used))) if trial.measure else ""
        table.add_row(*row, ticks)
    return table


def cells(result: Result, trial: Trial) -> tuple[str, ...]:
    """Return what stands under each of :data:`COLUMNS` for one of ``result``'s trials."""
    if trial.measure is None:
        return (trial.case, trial.status, *[""] * 5)
    lag = trial.measure.lag
    lags = ("-" if value is None else milliseconds(value) for value in (lag.p50, lag.p99, lag.max))
    figures = DemoFigures(result)
    work, cores = figures.work(trial.case), figures.cores(trial.case)
    return (
        trial.case,
        f"{lag.came}/{lag.due}",
        *lags,
        "" if work is None else f"{work:.2f}",
        "" if cores is None else f"{cores:.2f}",
    )


def strip(bins: Bins, columns: int) -> str:
    """Return the ticks in time, ``columns`` characters at most: in each the share of the due ticks that came."""
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
        yield "Interrupted: the cases after the last one shown did not run."


def starts(result: Result) -> str:
    """Tell what starting each kind of worker took, which is in no other figure."""
    slowest: dict[str, float] = {}
    for trial in result.trials:
        strategy = trial.case.partition("/")[0]
        if trial.measure is not None and strategy not in ("inline", "cooperative"):
            slowest[strategy] = max(slowest.get(strategy, 0.0), trial.measure.start_up)
    if not slowest:
        return ""
    took = ", ".join(f"{strategy} {milliseconds(seconds)} ms" for strategy, seconds in slowest.items())
    return f"Starting and warming {result.plan.concurrency} workers, before the clock started: {took}."
