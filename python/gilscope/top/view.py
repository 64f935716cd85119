"""The view at one moment: as many lines as the terminal has, none longer than the terminal is wide."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len
from rich.text import Text

from gilscope.top.fitted import cut, printable
from gilscope.top.gil_rows import gil_lines, stack_lines
from gilscope.top.loop_rows import height, loop_lines
from gilscope.top.styled import DIM, filled, line
from gilscope.top.time_rows import culprit_lines, now_lines, spent_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilscope.top.glyphs import Glyphs
    from gilscope.top.picture import Picture

MIN_COLUMNS, MIN_ROWS = 60, 10
TWO_COLUMNS_FROM = 140
"""A terminal that is at least this wide shows what costs time beside the threads and their stacks."""
COLUMN_GAP = 3
GIL_HEAD = 3
"""The lines above the threads."""


class Choice(NamedTuple):
    """What the person at the terminal has chosen."""

    command: tuple[str, ...] = ()
    """What the title names as the program."""
    thread: int | None = None
    paused: bool = False
    output: str | None = None
    """The file that the program's own output goes to."""
    keys: bool = True


def screen(picture: Picture, choice: Choice, *, width: int, rows: int, marks: Glyphs) -> list[Text]:
    """Return the lines of the whole terminal."""
    if width < MIN_COLUMNS or rows < MIN_ROWS:
        sentence = f"gilscope top needs {MIN_COLUMNS} columns and {MIN_ROWS} rows"
        return [line(part, width=width) for part in wrap(sentence, max(1, width))][:rows]
    lines = [_title(picture, choice, width)]
    if choice.output:
        lines.append(line((f"its output: {printable(choice.output)}", DIM), width=width))
    lines += now_lines(picture.now, width)
    room = rows - len(lines) - 1
    body = _in_two_columns if width >= TWO_COLUMNS_FROM else _in_one_column
    body_lines = body(picture, choice, width, room, marks)[:room]
    lines += [*body_lines, *[Text("")] * (room - len(body_lines))]
    return [*lines, _keys(picture, choice, width, marks)]


def _title(picture: Picture, choice: Choice, width: int) -> Text:
    end = f"{'PAUSED at ' if choice.paused else ''}{clock(picture.elapsed)}"
    begin = f"gilscope top: PID {picture.pid}, Python {picture.python}: "
    begin += command_line(choice.command, width - len(begin) - len(end) - 2)
    return line(
        (begin.ljust(width - len(end)), "bold"), (end, "bold reverse" if choice.paused else "bold"), width=width
    )


def command_line(words: Sequence[str], width: int) -> str:
    """Return a command line in at most ``width`` columns: without folders if it is too long."""
    first = "".join(words[:1]).rpartition("/")[2]
    for shown in (words, [first, *words[1:]], [word.rpartition("/")[2] for word in words]):
        text = printable(" ".join(shown))
        if cell_len(text) <= width:
            return text
    return cut(text, width)


def _keys(picture: Picture, choice: Choice, width: int, marks: Glyphs) -> Text:
    pause = "p go on" if choice.paused else "p pause"
    keys = f" q quit  {pause}  r reset  {marks.arrows} thread's stack" if choice.keys else " Ctrl-C quits"
    cost = f"gilscope takes {picture.cost:.1%} of a CPU "
    text = keys.ljust(width - len(cost)) + cost if len(keys) + 2 + len(cost) <= width else keys
    return filled(line(text, width=width), width, "reverse")


def _in_one_column(picture: Picture, choice: Choice, width: int, room: int, marks: Glyphs) -> list[Text]:
    """Put the parts below each other. A thread's stack takes the place of what costs time, unless both fit."""
    loops = loop_lines(picture, width, marks, _rows_for_loops(room))
    threads = min(len(picture.threads), max(2, (room - len(loops) - 4) // 3))
    parts = [loops, gil_lines(picture, width, marks, threads + GIL_HEAD, choice.thread)]
    room -= sum(map(len, parts))
    stack = [] if choice.thread is None else _stack(picture, choice.thread, room if room < 24 else room // 2, width)
    room -= len(stack)
    if room >= 4:
        spent = spent_lines(picture, width, max(2, min((room - len(parts)) // 2, 1 + len(picture.spent))))
        room -= len(spent)
        least = min(room, 1 + max(1, len(picture.culprits)))
        gaps = len(parts) + 1 + bool(stack)
        parts += [spent, culprit_lines(picture, width, max(least, room - gaps))]
        room -= len(parts[-1])
    if stack:
        parts.append(stack)
    return _below(parts, room)


def _in_two_columns(picture: Picture, choice: Choice, width: int, room: int, marks: Glyphs) -> list[Text]:
    """Put the loops above; below, the threads and a stack at the left, and what costs time at the right.

    If no thread is chosen, the stack is that of the thread that has held the GIL most.
    """
    loops = loop_lines(picture, width, marks, _rows_for_loops(room))
    room -= len(loops) + 1
    left_width = (width - COLUMN_GAP) // 2
    right_width = width - COLUMN_GAP - left_width
    threads = min(len(picture.threads), max(2, room // 2 - GIL_HEAD))
    left = [*gil_lines(picture, left_width, marks, threads + GIL_HEAD, choice.thread), Text("")]
    shown = choice.thread or next(iter(picture.stacks), None)
    if shown is not None:
        left += _stack(picture, shown, room - len(left), left_width)
    spent = spent_lines(picture, right_width, max(2, min(room // 2, 1 + len(picture.spent))))
    right = [*spent, Text(""), *culprit_lines(picture, right_width, max(0, room - len(spent) - 1))]
    return [*loops, Text(""), *_beside(left[:room], right[:room], left_width)]


def _rows_for_loops(room: int) -> int:
    """Return how many rows the loops get: half, and enough for one with its chart if that leaves room for the rest."""
    return max(room // 2, height(1, scale=1) if room >= 14 else 2)


def _stack(picture: Picture, thread: int, rows: int, width: int) -> list[Text]:
    if rows < 2:
        return []
    names = {row.native_id: row.name for row in picture.threads}
    name = names.get(thread, f"thread {thread}, which has ended")
    return stack_lines(name, picture.stacks.get(thread, ()), rows, width)


def _below(parts: list[list[Text]], spare: int) -> list[Text]:
    """Return the parts below each other, with blank lines between them as far as there is room."""
    lines: list[Text] = []
    for number, part in enumerate(parts):
        if number and spare > 0:
            lines.append(Text(""))
            spare -= 1
        lines += part
    return lines


def _beside(left: list[Text], right: list[Text], left_width: int) -> list[Text]:
    lines = []
    for number in range(max(len(left), len(right))):
        text = left[number] if number < len(left) else Text("")
        text.pad_right(max(0, left_width + COLUMN_GAP - text.cell_len))
        if number < len(right):
            text.append_text(right[number])
        text.no_wrap = True
        lines.append(text)
    return lines


def clock(seconds: float) -> str:
    """Return a time since the beginning: ``0:42``, ``1:02:03``."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
