"""The picture of a demo or a comparison: one row per case, its ticks over time, and its lags beside them."""

from __future__ import annotations

import json
import re
import textwrap
from functools import partial
from typing import TYPE_CHECKING

import altair as alt

from gilscope.naming import quoted
from gilscope.reports.panels import SHAPES, counts, in_time, lags
from gilscope.reports.style import CONFIG, FONT_PIXELS, GREY, LATE_COLOUR, TICK_COLOUR
from gilscope.reports.table import where
from gilscope.reports.terminal import title

if TYPE_CHECKING:
    from gilscope.records.result import Result
    from gilscope.reports.panels import Panel

DEFAULT_BUDGET_SECONDS = 0.01
MAX_NAME_CHARACTERS = 24
"""Break a case's name into several lines beyond this."""
WIDE_FONT_PIXELS_PER_CHARACTER = 7.5
"""The room a character of a case's name takes in DejaVu Sans or Verdana, the widest usual fonts, at 12 pixels."""
MAX_LINE_CHARACTERS = 110
NAME_LINE_PIXELS = 14


def chart(result: Result) -> alt.ConcatChart:
    """Return the picture for a file, about 800 pixels wide, with its title and key.

    A viewer draws its text with fonts that cannot be measured here, so it leaves room for wide fonts.
    """
    longest = max(len(line) for trial in (result.idle, *result.trials) for line in _lines(trial.case))
    room = round(longest * WIDE_FONT_PIXELS_PER_CHARACTER)
    whole = alt.ConcatChart(
        concat=[_key(budget(result)), panels(result, name_pixels=room), _words(result, room)],
        columns=1,
        align="none",
        spacing=10,
        padding=10,
    )
    whole.title = alt.TitleParams(
        textwrap.wrap(heading(result), 70),
        subtitle=[line for text in (title(result), where(result)) for line in textwrap.wrap(text, MAX_LINE_CHARACTERS)],
        anchor="start",
        fontSize=16,
        subtitleFontSize=FONT_PIXELS,
        subtitleColor=GREY,
        offset=12,
    )
    whole.config = CONFIG
    return whole


def heading(result: Result) -> str:
    """Return the title of the picture and of the page."""
    if result.comparison is None:
        return "How CPU-bound work delays the event loop"
    return f"Where should {quoted(result.comparison.subject)} run?"


def budget(result: Result) -> float:
    """Return the lag in seconds above which the chart draws the loop as late."""
    return DEFAULT_BUDGET_SECONDS if result.comparison is None else result.comparison.budget


def panels(result: Result, *, name_pixels: int = 0) -> alt.HConcatChart:
    """Return the panels alone: ticks over time, lags, counts. Names of cases take at least ``name_pixels``."""
    late = budget(result)
    trials = [result.idle, *result.trials]
    names = [trial.case for trial in trials]
    lines = {name: _lines(name) for name in names}
    most = max(len(of_name) for of_name in lines.values())
    height = max(26, most * NAME_LINE_PIXELS + 6)
    row = alt.Y("case:N", sort=names, scale=alt.Scale(domain=names))
    named = row.axis(
        title=None,
        labelFontSize=12,
        labelLimit=0,
        labelPadding=6,
        minExtent=name_pixels,
        domain=False,
        ticks=False,
        grid=True,
        labelExpr=f"({json.dumps(lines)})[datum.value]",
    )
    lined = row.axis(title=None, labels=False, domain=False, ticks=False, grid=True)
    return alt.HConcatChart(
        hconcat=[
            _panel(in_time(trials, late, named), 340, height, "Ticks of the event loop over time"),
            _panel(lags(trials, late, lined), 160, height, "Lag of the ticks"),
            _panel(counts(trials, row.axis(None)), 64, height, "came/due", "end"),
        ],
        spacing=14,
    )


def _panel(panel: Panel, width: int, row_height: int, head: str, anchor: str = "start") -> Panel:
    panel.width, panel.height = width, alt.Step(row_height)
    panel.title = alt.TitleParams(head, anchor=anchor)  # type: ignore[arg-type]
    return panel


def _lines(name: str) -> list[str]:
    """Return ``name`` in lines of at most :data:`MAX_NAME_CHARACTERS`, each broken after its last separator, if it has one."""
    most = MAX_NAME_CHARACTERS
    return re.findall(rf".{{1,{most}}}(?:(?<=[-/_. ])|\Z)|.{{{most}}}", name, re.DOTALL)


def _key(late: float) -> alt.HConcatChart:
    """Explain the marks, with the marks themselves."""
    one = alt.Chart(alt.InlineData(values=[{}]))
    middle = {"x": alt.value(6), "y": alt.value(8)}
    point = partial(one.mark_point, filled=True, opacity=1, size=55, color=TICK_COLOUR)
    drawn = {
        "a tick came": one.mark_tick(size=9, thickness=1, color=TICK_COLOUR, orient="vertical").encode(**middle),
        f"loop over {late * 1000:g} ms late": one.mark_square(size=144, color=LATE_COLOUR, opacity=1).encode(**middle),
        "median lag": point(shape=SHAPES[0]).encode(**middle),
        "p99 lag": point(shape=SHAPES[1]).encode(**middle),
        "maximum lag": point(shape=SHAPES[2]).encode(**middle),
        f"budget: {late * 1000:g} ms": one.mark_rule(color="black", strokeDash=[4, 3]).encode(
            x=alt.value(6), y=alt.value(0), y2=alt.value(16)
        ),
    }
    entries = [
        alt.LayerChart(
            layer=[mark, one.mark_text(align="left", text=text).encode(x=alt.value(18), y=alt.value(8))],
            width=12,
            height=16,
        )
        for text, mark in drawn.items()
    ]
    return alt.HConcatChart(hconcat=entries, spacing=26)


def _words(result: Result, names: int) -> alt.Chart:
    """Write what the picture means, from where the names of the cases begin: ``names`` pixels left of the panels."""
    lines = [part for line in words(result) for part in textwrap.wrap(line, MAX_LINE_CHARACTERS)]
    entry = alt.Chart(alt.InlineData(values=[{}]), width=1, height=14 * max(1, len(lines)))
    text = entry.mark_text(align="left", baseline="top", color=GREY, text=lines)
    written: alt.Chart = text.encode(x=alt.value(-names), y=alt.value(4))
    return written


def words(result: Result) -> list[str]:
    """Return lines on what a row of the chart is, and on what the names of ``result``'s cases mean."""
    parts = [trial.case.partition("/") for trial in result.trials]
    ran = {trial.strategy or part[0] for trial, part in zip(result.trials, parts, strict=True)}
    strategies = [f"{name} = {meaning}" for name, meaning in STRATEGIES.items() if name in ran]
    kernels = [f"{name} = {meaning}" for name, meaning in KERNELS.items() if name in {part[2] for part in parts}]
    heads = (("Where the work runs", strategies), ("What the work is", kernels))
    named = [f"{head}: {'; '.join(meanings)}." for head, meanings in heads if meanings]
    tick = f"{result.plan.tick * 1000:g} ms"
    row = f"Each row is one case: work that ran beside an event loop that should tick every {tick}."
    return [f"{row} The lag of a tick is how late it came.", *named]


STRATEGIES = {
    "inline": "in the coroutine",
    "cooperative": "in a coroutine that often awaits sleep(0)",
    "thread": "in a thread pool",
    "process": "in a process pool",
    "interpreter": "in a pool of interpreters",
    "tokio": "on threads of Rust's tokio",
    "bridge": "on Rust threads that never attach to Python",
    "dask": "in the workers of a dask cluster",
}
KERNELS = {
    "python": "Python code",
    "held": "Rust code that holds the GIL",
    "released": "Rust code that releases the GIL",
}
