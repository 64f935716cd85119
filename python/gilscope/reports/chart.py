"""A result as one picture: a row a case, what the loop did in time, and beside it how late it was."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import altair as alt

from gilscope.reports.panels import LATE, SHAPES, TICK, counts, in_time, lags
from gilscope.reports.table import title, where

if TYPE_CHECKING:
    from gilscope.records.result import Result
    from gilscope.reports.panels import Panel

HEADING = "What CPU-bound work does to the event loop beside it"
BUDGET = 0.01
"""The budget where none was asked for."""
SMALL = 11
GREY = "#555555"
CONFIG: dict[str, Any] = {
    "view": {"stroke": None},
    "axis": {"labelFontSize": SMALL, "titleFontSize": SMALL, "titleFontWeight": "normal", "gridColor": "#e4e4e4"},
    "text": {"fontSize": SMALL},
    "title": {"fontSize": 12, "offset": 4},
    "font": "sans-serif",
}


def chart(result: Result) -> alt.VConcatChart:
    """Return the picture for a file, 800 pixels wide at most, with its title and its key."""
    whole = alt.VConcatChart(vconcat=[_key(budget(result)), panels(result), _words(result)], spacing=6, padding=8)
    whole.title = alt.TitleParams(
        HEADING,
        subtitle=[title(result), *textwrap.wrap(where(result), 120)],
        anchor="start",
        fontSize=16,
        subtitleFontSize=SMALL,
        subtitleColor=GREY,
    )
    whole.config = CONFIG
    return whole


def budget(result: Result) -> float:
    """Return how late the loop may be, in seconds, before it counts as late."""
    return BUDGET if result.comparison is None else result.comparison.budget


def panels(result: Result) -> alt.HConcatChart:
    """Return the panels alone: time, lag, ticks."""
    late = budget(result)
    trials = [result.idle, *result.trials]
    names = [trial.case for trial in trials]
    row = alt.Y("case:N", sort=names, scale=alt.Scale(domain=names))
    named = row.axis(title=None, labelFontSize=12, labelLimit=150, labelPadding=6, domain=False, ticks=False, grid=True)
    lined = row.axis(title=None, labels=False, domain=False, ticks=False, grid=True)
    return alt.HConcatChart(
        hconcat=[
            _panel(in_time(trials, late, named), 346, "The loop in time", "start"),
            _panel(lags(trials, late, lined), 160, "Lag of its ticks", "start"),
            _panel(counts(trials, row.axis(None)), 60, "came/due", "end"),
        ],
        spacing=12,
    )


def _panel(panel: Panel, width: int, heading: str, anchor: str) -> Panel:
    panel.width, panel.height = width, alt.Step(26)
    panel.title = alt.TitleParams(heading, anchor=anchor)  # type: ignore[arg-type]
    return panel


def _key(late: float) -> Panel:
    """Explain the marks, with the marks themselves."""
    entry = alt.Chart(alt.InlineData(values=[{}]))
    y = alt.value(8)
    texts = {14: "a tick came", 112: f"the loop was over {late * 1000:g} ms late"}
    texts |= {374: "median", 434: "99 %", 483: "worst", 539: "budget"}
    points = dict(zip((366, 426, 475), SHAPES, strict=True))
    dashes = entry.mark_rule(color="black", strokeDash=[4, 3])
    return alt.LayerChart(
        layer=[
            entry.mark_tick(size=9, thickness=1, color=TICK, orient="vertical").encode(x=alt.value(8), y=y),
            entry.mark_bar(height=12, color=LATE).encode(x=alt.value(92), x2=alt.value(108), y=y),
            *(
                entry.mark_point(filled=True, opacity=1, size=55, color=TICK, shape=shape).encode(x=alt.value(x), y=y)
                for x, shape in points.items()
            ),
            dashes.encode(x=alt.value(532), y=alt.value(0), y2=alt.value(16)),
            *(entry.mark_text(align="left", text=text).encode(x=alt.value(x), y=y) for x, text in texts.items()),
        ],
        width=580,
        height=16,
    )


def _words(result: Result) -> alt.Chart:
    lines = [part for line in words(result) for part in textwrap.wrap(line, 130)]
    entry = alt.Chart(alt.InlineData(values=[{}]), width=580, height=14 * len(lines))
    text = entry.mark_text(align="left", baseline="top", color=GREY, text=lines)
    written: alt.Chart = text.encode(x=alt.value(-108), y=alt.value(4))
    return written


def words(result: Result) -> list[str]:
    """Return a line on the strategies and a line on the kernels in the names of ``result``'s cases, as far as known."""
    parts = [trial.case.partition("/") for trial in result.trials]
    ran = {trial.strategy or part[0] for trial, part in zip(result.trials, parts, strict=True)}
    strategies = [says for name, says in STRATEGIES.items() if name in ran]
    kernels = [says for name, says in KERNELS.items() if name in {part[2] for part in parts}]
    return [f"{head}: {'; '.join(says)}." for head, says in (("Where", strategies), ("What", kernels)) if says]


STRATEGIES = {
    "inline": "inline = in the coroutine",
    "cooperative": "cooperative = awaiting sleep(0) now and then",
    "thread": "thread, process, interpreter = in a pool of them",
    "tokio": "tokio = on Rust's threads",
    "bridge": "bridge = on Rust's threads that never attach",
    "dask": "dask = in a cluster's processes",
}
KERNELS = {
    "python": "python = Python code",
    "held": "held = Rust that keeps the GIL",
    "released": "released = Rust that has let go of the GIL",
}
