"""The GIL in the view: the share of each thread, the longest hold, and a thread's stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.formatting import counted, duration
from gilscope.top.fitted import cut, cut_name, place, printable
from gilscope.top.styled import DIM, HEADING, at_place, filled, line
from gilscope.top.sums import LONGEST_WINDOW, WINDOWS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from gilscope.attach.live import LongHold
    from gilscope.records.stall import Frame
    from gilscope.top.glyphs import Glyphs
    from gilscope.top.picture import Picture, ThreadRow

SHARE = 6
"""The width of the column of a window."""
MIN_NAME, MAX_NAME = 20, 36
MIN_BAR = 5


def gil_lines(picture: Picture, width: int, marks: Glyphs, rows: int, chosen: int | None) -> list[Text]:
    """Return a heading, the longest hold, all threads together, and as many of the threads as fit; the chosen one always."""
    name_width = max(MIN_NAME, min(MAX_NAME, width // 3))
    head = line((f"{'GIL':<{name_width}}", HEADING), width=width)
    head.append("".join(f"{f'{seconds} s':>{SHARE}}" for seconds in WINDOWS), DIM)
    if width - head.cell_len > 24:
        head.append("  share of the last 10 s", DIM)
    everyone = f"any of {counted(len(picture.threads), 'thread')}"
    lines = [head, _shares(everyone, picture.held, width, marks, name_width)]
    lines.append(_longest_hold(picture.longest_hold, width))
    threads = shown_threads(picture.threads, rows - len(lines), chosen)
    for row in threads:
        name = ("> " if row.native_id == chosen else "  ") + printable(row.name)
        text = _shares(name, row.shares, width, marks, name_width)
        lines.append(filled(text, width, "reverse") if row.native_id == chosen else text)
    return lines[:rows]


def shown_threads(threads: Sequence[ThreadRow], room: int, chosen: int | None) -> Sequence[ThreadRow]:
    """Return so many threads, the first ones unless the chosen one is further below."""
    numbers = [row.native_id for row in threads]
    first = max(0, numbers.index(chosen) - room + 1) if chosen in numbers else 0
    return threads[first : first + max(0, room)]


def stack_lines(name: str, stack: tuple[Frame, ...], rows: int, width: int) -> list[Text]:
    """Return a heading and a thread's stack, innermost frame first."""
    lines = [line((cut(f"STACK of {printable(name)}", width), HEADING), width=width)]
    room = rows - 1
    shown = stack if len(stack) <= room else stack[: max(0, room - 1)]
    lines += [line(place(frame, width), width=width) for frame in shown]
    if not stack:
        lines.append(line(("the stack cannot be read at this moment", DIM), width=width))
    elif len(shown) < len(stack):
        lines.append(line((f"and {len(stack) - len(shown)} more that called these", DIM), width=width))
    return lines[:rows]


def _longest_hold(hold: LongHold | None, width: int) -> Text:
    if hold is None:
        return line((f"no thread held the GIL in {LONGEST_WINDOW} s", DIM), width=width)
    begin = f"longest hold in {LONGEST_WINDOW} s: {duration(hold.seconds)} by {printable(str(hold.thread))}"
    if hold.frame is None:
        return line(cut(begin, width), width=width)
    return at_place(begin, hold.frame, width)


def _shares(name: str, shares: Sequence[float | None], width: int, marks: Glyphs, name_width: int) -> Text:
    figures = "".join(f"{'-' if share is None else f'{share:.0%}':>{SHARE}}" for share in shares)
    text = line(f"{cut_name(name, name_width - 1):<{name_width}}", figures, "  ", width=width)
    if width - text.cell_len >= MIN_BAR:
        text.append(marks.bar(shares[len(WINDOWS) // 2] or 0.0, width - text.cell_len), "cyan")
    return text
