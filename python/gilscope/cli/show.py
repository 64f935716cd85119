"""Where results go: to the terminal as a table, to a file or to stdout as JSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from gilscope import results
from gilscope.reports.table import Report

if TYPE_CHECKING:
    from gilscope.results import Result


def show(result: Result, file: str | None = None) -> None:
    """Print ``result``; write it to ``file`` as well, or to stdout in place of the table where that is ``-``."""
    if file == "-":
        sys.stdout.buffer.write(results.encode(result))
        sys.stdout.flush()
        return
    if file is not None:
        results.write(result, Path(file))
    Console(highlight=False, markup=False).print(Report(result))


def compare(before: Result, after: Result) -> None:
    """Print what differs between two results."""
    from gilscope.reports.difference import Difference

    Console(highlight=False, markup=False).print(Difference(before, after))
