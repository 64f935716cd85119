"""Prints a report on the terminal or into a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from rich.console import RenderableType


def put(report: RenderableType, *, stderr: bool = False) -> None:
    """Print ``report``; in a file or a pipe, without the blanks with which rich fills the lines of a terminal."""
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if console.is_terminal:
        console.print(report, crop=False)
        return
    with console.capture() as captured:
        console.print(report, crop=False)
    console.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())
    console.file.flush()
