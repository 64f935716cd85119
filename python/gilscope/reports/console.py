"""Prints a report on the terminal or into a file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console

if TYPE_CHECKING:
    from rich.console import RenderableType


class PlainConsole(Console):
    """A console that leaves it to its caller what happens if its reader has gone. rich would exit with status 1."""

    def on_broken_pipe(self) -> NoReturn:
        raise sys.exception() or BrokenPipeError


def put(report: RenderableType, *, stderr: bool = False) -> None:
    """Print ``report``; in a file or a pipe, without the blanks with which rich fills the lines of a terminal."""
    console = PlainConsole(stderr=stderr, highlight=False, markup=False, emoji=False)
    if console.is_terminal:
        console.print(report, crop=False)
        return
    with console.capture() as captured:
        console.print(report, crop=False)
    console.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())
    console.file.flush()
