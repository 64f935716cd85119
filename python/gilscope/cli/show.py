"""Print a result: as a table on the terminal, or as JSON on stdout."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from gilscope.records import codec
from gilscope.reports.console import put
from gilscope.reports.terminal import TerminalReport

if TYPE_CHECKING:
    from gilscope.records.result import Result
    from gilscope.records.watch_report import WatchReport


def show(result: Result, file: str | None = None) -> None:
    """Print ``result`` as a table; as JSON if ``file`` is ``-``."""
    if file == "-":
        sys.stdout.buffer.write(codec.encode(result))
        sys.stdout.flush()
    else:
        put(TerminalReport(result))


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
    console = Console(stderr=stderr, highlight=False)
    console.print(Text(sentences), soft_wrap=not console.is_terminal)
