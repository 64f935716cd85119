"""The event loops in the view: how busy they are, how late they are, and a chart of the longest lags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.formatting import duration, listed
from gilscope.top.fitted import cut, printable
from gilscope.top.styled import DIM, HEADING, line
from gilscope.top.sums import WINDOWS

if TYPE_CHECKING:
    from rich.text import Text

    from gilscope.top.glyphs import Glyphs
    from gilscope.top.picture import LoopRow, Picture

AXIS = ("  1 s", "0.1 s", "10 ms")
"""What the tops of the three rows of a loop's chart stand for."""
AXIS_STYLES = ("red", "yellow", "green")
NAME, WINDOW, BUSY, FIGURE = 14, 6, 6, 9
"""The widths of the columns: the loop, the window, its utilization, each of the quantiles."""
FIGURES = NAME + WINDOW + BUSY + 3 * FIGURE
GAP = 2
MIN_CHART = 10
SECONDS_TO_FIRST_FIGURES = 1.5
BUSY_STYLES = ((0.9, "bold red"), (0.5, "yellow"), (0.0, ""))
"""From this utilization on."""


def height(loops: int, *, scale: int) -> int:
    """Return how many lines the loops take, with so many rows of their charts for each power of ten."""
    return 1 + loops * len(AXIS) * scale


def loop_lines(picture: Picture, width: int, marks: Glyphs, rows: int) -> list[Text]:
    """Return a heading and the loops: three lines for each if that fits into ``rows``, else one line for each."""
    loops = picture.loops
    if not loops:
        why = "no figures yet" if picture.since_reset < SECONDS_TO_FIRST_FIGURES else none(picture)
        return [line(("LOOPS", HEADING), cut(f"  {why}", width - len("LOOPS")), width=width)][:rows]
    if height(len(loops), scale=1) <= rows:
        scale = 2 if height(len(loops), scale=2) <= rows // 2 else 1
        return [
            _heading(width),
            *(text for row in loops for text in _block(row, picture.threshold, width, marks, scale)),
        ]
    room = max(0, rows - 1)
    shown = loops if len(loops) <= room else loops[: max(0, room - 1)]
    lines = [_heading(width), *(_one_line(row, picture.threshold, width, marks) for row in shown)]
    if len(shown) < len(loops):
        lines.append(line((f"and {len(loops) - len(shown)} more loops", DIM), width=width))
    return lines[:rows]


def none(picture: Picture) -> str:
    """Return that the process runs no event loop, and which of its child processes do."""
    if not picture.children:
        return "no event loop runs in this process"
    which = "process" if len(picture.children) == 1 else "processes"
    return f"no event loop runs here, but in the child {which} {listed([*map(str, picture.children)])}"


def _heading(width: int) -> Text:
    text = line((f"{'LOOPS':<{NAME + WINDOW}}", HEADING), width=width)
    text.append(f"{'busy':>{BUSY}}{'lag p50':>{FIGURE}}{'p99':>{FIGURE}}{'max':>{FIGURE}}", DIM)
    if _chart_room(width) >= MIN_CHART:
        text.append(" " * GAP + cut("longest in each second", width - FIGURES - GAP), DIM)
    return text


def _block(row: LoopRow, threshold: float, width: int, marks: Glyphs, scale: int) -> list[Text]:
    """Return the figures of a loop beside its chart, which has ``scale`` rows for each power of ten."""
    room = _chart_room(width)
    chart = marks.chart(row.longest[-room:], scale * len(AXIS)) if room >= MIN_CHART else []
    names = [f"loop {row.loop}", printable(row.thread), ""]
    lines = [
        _figures(names[number], f"{seconds} s", row, number, threshold, width) for number, seconds in enumerate(WINDOWS)
    ]
    lines += [line(" " * FIGURES, width=width) for _ in range(len(chart) - len(lines))]
    for number, (text, part) in enumerate(zip(lines, chart, strict=False)):
        power, below_the_top = divmod(number, scale)
        text.append(" " * GAP + part, AXIS_STYLES[power])
        if not below_the_top:
            text.append(f" {AXIS[power]}", DIM)
    return lines


def _chart_room(width: int) -> int:
    return width - FIGURES - GAP - len(AXIS[0]) - 1


def _one_line(row: LoopRow, threshold: float, width: int, marks: Glyphs) -> Text:
    number = len(WINDOWS) // 2
    text = _figures(f"{row.loop} {printable(row.thread)}", f"{WINDOWS[number]} s", row, number, threshold, width)
    room = _chart_room(width)
    if room >= MIN_CHART:
        text.append(" " * GAP + marks.chart(row.longest[-room:], 1)[0], AXIS_STYLES[1])
    return text


def _figures(name: str, window: str, row: LoopRow, number: int, threshold: float, width: int) -> Text:
    busy = row.busy[number]
    style = "" if busy is None else next(style for share, style in BUSY_STYLES if busy >= share)
    lags = [
        (f"{'-' if lag is None else duration(lag):>{FIGURE}}", "red" if lag and lag > threshold else "")
        for lag in row.lags[number]
    ]
    return line(
        f"{cut(name, NAME - 1):<{NAME}}",
        (f"{window:>{WINDOW - 1}} ", DIM),
        (f"{'-' if busy is None else f'{busy:.0%}':>{BUSY}}", style),
        *lags,
        width=width,
    )
