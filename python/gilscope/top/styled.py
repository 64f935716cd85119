"""Lines of text with style."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from gilscope.top.fitted import cut, least_of, place

if TYPE_CHECKING:
    from gilscope.records.stall import Frame

HEADING = "bold"
DIM = "dim"
PLACE = "bold"


def line(*parts: str | tuple[str, str], width: int) -> Text:
    """Return one line of at most ``width`` columns."""
    text = Text.assemble(*parts, no_wrap=True, overflow="crop")
    text.truncate(width, overflow="crop")
    return text


def filled(text: Text, width: int, style: str) -> Text:
    """Return ``text`` over the whole width in one style: it stands out without colours too, if the style is reverse."""
    text.pad_right(max(0, width - text.cell_len))
    text.stylize(style)
    return text


def at_place(begin: str, frame: Frame | None, width: int) -> Text:
    """Return ``begin`` with where it was. If there is little room, the place loses folders and function first, then ``begin``."""
    if frame is None:
        return line(cut(f"{begin}, line not seen", width), width=width)
    at = " at "
    begin = cut(begin, width - len(at) - least_of(frame))
    return line(begin, at, (place(frame, width - len(begin) - len(at)), PLACE), width=width)
