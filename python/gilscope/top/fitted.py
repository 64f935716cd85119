"""Text that fits into a line: a file and its line number are never cut apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from gilscope.naming import place_of

if TYPE_CHECKING:
    from gilscope.records.stall import Frame

ELLIPSIS = "..."


def printable(text: str) -> str:
    """Return ``text`` in one line, without characters that would change the terminal: names come from the other process."""
    return "".join(char if char.isprintable() else "?" for char in text)


def cut(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` columns; if it is longer, its beginning."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - len(ELLIPSIS))).rstrip() + ELLIPSIS[: max(0, width)]


def cut_name(name: str, width: int) -> str:
    """Return a thread's name in at most ``width`` columns. What tells it apart from others of that name, at its end, stays."""
    begin, bracket, number = name.rpartition(" (")
    if not bracket or cell_len(name) <= width:
        return cut(name, width)
    return cut(begin, width - cell_len(bracket + number)) + bracket + number


def place(frame: Frame, width: int) -> str:
    """Return where ``frame`` is, in at most ``width`` columns: with as much of its path and its function as fits.

    Folders are left out from the front, then the function. The file's name and the line number stay whole, as long as
    the number itself fits.
    """
    if not frame.file:
        return cut(str(frame), width)
    whole, _, function = (printable(part) for part in place_of(frame).rpartition(" in "))
    folders = whole.split("/")
    shorter = [whole, *(f"{ELLIPSIS}/{'/'.join(folders[first:])}" for first in range(1, len(folders)))]
    shorter += [folders[-1]]
    for text in (*(f"{file} in {function}" for file in shorter), *shorter):
        if cell_len(text) <= width:
            return text
    file, _, line = folders[-1].rpartition(":")
    kept = max(0, width - len(ELLIPSIS) - 1 - len(line))
    return f"{ELLIPSIS}{_end(file, kept)}:{line}"


def least_of(frame: Frame) -> int:
    """Return how many columns the file's name and the line number take."""
    return cell_len(f"{frame.file.rpartition('/')[2]}:{frame.line}")


def _end(text: str, width: int) -> str:
    while cell_len(text) > width:
        text = text[1:]
    return text
