"""A result for a terminal, whatever its kind; readable in 80 columns and without colour."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console

from gilscope._core import VERSION
from gilscope.comparison.figures import ComparisonFigures
from gilscope.records.machine import machine
from gilscope.records.result import Result
from gilscope.records.watch_report import WatchReport
from gilscope.reports import comparison, table, watch

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderResult

    from gilscope.watch.api import Watch


class TerminalReport:
    """Everything that a terminal shows of a result, for rich to print at the terminal's width."""

    def __init__(self, result: Result | WatchReport) -> None:
        self._result = result

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        result = self._result
        if not isinstance(result, Result):
            yield from watch.parts(result, options.max_width)
        elif result.comparison is not None:
            yield from comparison.parts(result, options.max_width)
        else:
            yield from table.parts(result, options.max_width)


def title(result: Result) -> str:
    """Return what was run, in one line."""
    return table.title(result) if result.comparison is None else comparison.title(ComparisonFigures(result))


def watch_text(watch: Watch) -> str:
    """Return the report on this process up to now as plain text."""
    report = WatchReport(
        version=VERSION,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
        command=("this process",),
        stall=watch.stall,
        snapshot=watch.snapshot(),
        time=watch.time_tree(),
    )
    return text(report)


def text(result: Result | WatchReport, width: int = 100) -> str:
    """Return the report as plain text."""
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(TerminalReport(result), crop=False)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
