"""The Python processes of a machine as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.naming import escaped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gilscope.attach.processes import PythonProcess

HEADINGS = ("PID", "PYTHON", "LOOPS", "COMMAND")


def lines(processes: Sequence[PythonProcess]) -> Iterator[str]:
    """Yield a table of the processes that can be attached to, and a sentence for each of the others."""
    open_ones = [process for process in processes if process.why_not is None]
    rows = [(f"{it.pid}", it.version or "", f"{it.loops}", escaped(it.command)) for it in open_ones]
    if rows:
        widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
        for row in (HEADINGS, *rows):
            pid, version, loops, command = row
            yield f"{pid:>{widths[0]}}  {version:<{widths[1]}}  {loops:>{widths[2]}}  {command}"
    else:
        yield "no Python process that gilscope could attach to is running"
    closed = [process for process in processes if process.why_not is not None]
    if closed:
        yield ""
        yield "These cannot be attached to:"
        yield from (f"{it.pid} ({escaped(it.command)}): {it.why_not}" for it in closed)
