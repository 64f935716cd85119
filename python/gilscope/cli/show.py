"""Print a result: as a table on the terminal, or as JSON on stdout."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.text import Text

from gilscope.cli import reader_may_go
from gilscope.records import codec
from gilscope.reports.console import PlainConsole
from gilscope.reports.console import put as put_report
from gilscope.reports.terminal import TerminalReport

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gilscope.records.result import Result
    from gilscope.records.watch_report import WatchReport


def show(result: Result, file: str | None = None) -> None:
    """Print ``result`` as a table; as JSON if ``file`` is ``-``."""
    if file == "-":
        with reader_may_go(sys.stdout):
            sys.stdout.buffer.write(codec.encode(result))
    else:
        put(TerminalReport(result))


def put(report: RenderableType) -> None:
    """Print ``report``."""
    with reader_may_go(sys.stdout):
        put_report(report)


def compare(before: Result, after: Result) -> None:
    """Print what differs between two results."""
    from gilscope.reports.difference import Difference

    put(Difference(before, after))


def compare_watches(before: WatchReport, after: WatchReport) -> None:
    """Print what differs between two watches."""
    from gilscope.reports.watch_difference import WatchDifference

    put(WatchDifference(before, after))


def say(sentences: str, *, stderr: bool = False) -> None:
    """Print ``sentences``; on a terminal, break lines only between words. Elsewhere break none, so that grep finds all."""
    console = PlainConsole(stderr=stderr, highlight=False)
    with reader_may_go(sys.stderr if stderr else sys.stdout):
        console.print(Text(sentences), soft_wrap=not console.is_terminal)
