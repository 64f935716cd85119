"""Where a result goes: to the terminal as a table, to a file or to stdout as JSON."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from gilscope import results
from gilscope.cli import BadInput
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


def must_be_writable(file: Path) -> None:
    """Raise :class:`BadInput` where ``file`` cannot be written, before hours of measuring."""
    target = file if file.exists() else file.parent
    if file.is_dir() or not target.exists() or not os.access(target, os.W_OK):
        raise BadInput(f"cannot write {file}: give a file in a folder that exists and can be written")
