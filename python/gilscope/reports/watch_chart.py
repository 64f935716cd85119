"""A watch as panels that share a time axis: how late the loop was, its stalls by cause, and which threads held the GIL."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import altair as alt

from gilscope.formatting import duration
from gilscope.naming import place_of
from gilscope.reports.chart import GREY
from gilscope.reports.panels import TICK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope.records.stall import Cause, Stall
    from gilscope.records.timeline import Timeline, Track
    from gilscope.records.watch_report import WatchReport

    Row = dict[str, Any]

COLOURS: dict[Cause, str] = {
    "blocked, computing": "#d55e00",
    "blocked, waiting": "#e69f00",
    "starved by a hog": "#0072b2",
    "starved by turns": "#56b4e9",
    "no CPU": "#cc79a7",
    "garbage collection": "#009e73",
    "unknown": "#888888",
}
"""Okabe and Ito's, which the colour-blind tell apart; each cause also has a row of its own, with its name."""
FOOT = 1e-5
"""Seconds: where the lags' log scale begins, which has no zero. What is less is drawn a little higher: so that it is seen."""
WIDTH = 800
FULL = 0.85
"""The height of a thread's row that stands for all of the time; the rest parts it from the next."""


def chart(report: WatchReport) -> alt.VConcatChart | None:
    """Return the panels; ``None`` where there is nothing to draw."""
    line = report.timeline
    stalls = [_stall(stall) for stall in drawn(report)]
    time = alt.X("from:Q", scale=alt.Scale(domain=span(report), nice=False, clamp=True), axis=_axis())
    panels = []
    if line is not None and any(lag is not None for lag in line.worst):
        panels.append(_lags(line, stalls, report.stall, time))
    if stalls:
        panels.append(_stalls(stalls, time))
    if line is not None and line.held:
        panels.append(_holders(line, time))
    if not panels:
        return None
    return alt.VConcatChart(vconcat=panels, spacing=14)


def span(report: WatchReport) -> tuple[float, float]:
    """Return from when to when it is drawn, in seconds since the watch began."""
    line = report.timeline
    if line is None:
        return 0.0, report.snapshot.elapsed
    return line.begin, line.begin + line.width * len(line.worst)


def drawn(report: WatchReport) -> list[Stall]:
    """Return the stalls that are kept whole and fall in what is drawn, in the order of time."""
    begin, _ = span(report)
    return sorted((stall for stall in report.snapshot.worst if stall.end > begin), key=lambda stall: stall.start)


def _axis() -> alt.Axis:
    return alt.Axis(title="seconds since the watch began", tickCount=6, labelFlush=True)


def _lags(line: Timeline, stalls: list[Row], threshold: float, time: alt.X) -> alt.LayerChart:
    highest = max(threshold, *(lag for lag in line.worst if lag is not None))
    first, last = round(math.log10(FOOT * 1000)), math.ceil(math.log10(highest * 1000))
    scale = alt.Scale(type="log", domain=[10.0**first, 10.0**last], nice=False, clamp=True)
    axis = alt.Axis(
        title="lag, on a log scale",
        values=[10.0**power for power in range(first, last + 1)],
        labelExpr="datum.value >= 1000 ? datum.value / 1000 + ' s' : datum.value + ' ms'",
    )
    rows = [
        {"from": begin, "to": end, "ms": _ms(lag), "when": _when(begin, end), "lag": duration(lag)}
        for (begin, end), lag in zip(_bins(line), line.worst, strict=True)
        if lag is not None
    ]
    bands = alt.Chart(alt.InlineData(values=stalls)).mark_rect(opacity=0.45)
    bars = alt.Chart(alt.InlineData(values=rows)).mark_bar(color=TICK, stroke=TICK, strokeWidth=0.5)
    limit = alt.Chart(alt.InlineData(values=[{"ms": threshold * 1000}])).mark_rule(color="black", strokeDash=[4, 3])
    y = alt.Y("ms:Q", scale=scale, axis=axis)
    colour = alt.Color("cause:N", scale=_colours(stalls), legend=None)
    bar_tips = _tips(when="when", lag="the loop was late by, at worst")
    return alt.LayerChart(
        layer=[
            bands.encode(time, alt.X2("to:Q"), colour, y=alt.value(0), y2=alt.value("height"), tooltip=_stall_tips()),
            bars.encode(time, alt.X2("to:Q"), y, alt.Y2(datum=10.0**first), tooltip=bar_tips),
            limit.encode(y, tooltip=[alt.Tooltip("ms:Q", title="a stall is over, ms")]),
        ],
        width=WIDTH,
        height=150,
        title=_heading("How late the event loop was"),
    )


def _stalls(stalls: list[Row], time: alt.X) -> alt.LayerChart:
    causes = _causes(stalls)
    axis = alt.Axis(title=None, minExtent=85, labelPadding=6, domain=False, ticks=False, grid=True)
    row = alt.Y("cause:N", sort=causes, scale=alt.Scale(domain=causes), axis=axis)
    bars = alt.Chart(alt.InlineData(values=stalls)).mark_bar(height=16, strokeWidth=1)
    # The stroke makes a short stall of a long watch wide enough to be seen.
    colour, stroke = (channel("cause:N", scale=_colours(stalls), legend=None) for channel in (alt.Color, alt.Stroke))
    return alt.LayerChart(
        layer=[bars.encode(time, alt.X2("to:Q"), row, colour, stroke, tooltip=_stall_tips())],
        width=WIDTH,
        height=alt.Step(24),
        title=_heading("Its stalls, by cause"),
    )


def _stall_tips() -> list[alt.Tooltip]:
    return _tips(
        cause="cause",
        when="when",
        lasted="the loop stalled for",
        culprit="at",
        thread="in thread",
        callback="the loop was in",
        task="its task",
        coroutine="its coroutine",
    )


def _causes(stalls: list[Row]) -> list[Cause]:
    return [cause for cause in COLOURS if any(stall["cause"] == cause for stall in stalls)]


def _colours(stalls: list[Row]) -> alt.Scale:
    causes = _causes(stalls)
    return alt.Scale(domain=causes, range=[COLOURS[cause] for cause in causes])


def _holders(line: Timeline, time: alt.X) -> alt.LayerChart:
    """Draw a row a thread. A row is as high as the share of the time that the thread held the GIL."""
    count = len(line.held)
    y = alt.Y("low:Q", scale=alt.Scale(domain=[0, count], nice=False), axis=None)
    names = [_name(track, line, count - number) for number, track in enumerate(line.held, 1)]
    areas = [row for number, track in enumerate(line.held, 1) for row in _area(track, line, count - number)]
    hovers = [_hover(line, number) for number in range(len(line.worst))]
    named = alt.Chart(alt.InlineData(values=names))
    tips = _tips(thread="thread", share="held the GIL, of the time that is drawn")
    held = alt.Chart(alt.InlineData(values=areas)).mark_area(interpolate="step-after", color=TICK)
    over = alt.Chart(alt.InlineData(values=hovers)).mark_rect(opacity=0)
    # A name that is too long loses its beginning, which the threads of a pool have in common.
    over_tips = _tips(when="when", **{f"t{number}": track.thread for number, track in enumerate(line.held)})
    return alt.LayerChart(
        layer=[
            named.mark_rect(color="#f0f0f0").encode(y, alt.Y2("high:Q"), x=alt.value(0), x2=alt.value("width")),
            held.encode(time, y, alt.Y2("high:Q"), detail="thread:N"),
            named.mark_text(align="right", baseline="middle", dy=-6, dir="rtl").encode(
                alt.Y("middle:Q"), x=alt.value(-8), text="thread:N", tooltip=tips
            ),
            named.mark_text(align="right", baseline="middle", dy=7, color=GREY).encode(
                alt.Y("middle:Q"), x=alt.value(-8), text="share:N"
            ),
            over.encode(time, alt.X2("to:Q"), y=alt.value(0), y2=alt.value("height"), tooltip=over_tips),
        ],
        width=WIDTH,
        height=36 * count,
        title=_heading("Who held the GIL, by share of time"),
    )


def _name(track: Track, line: Timeline, low: int) -> Row:
    share = sum(track.held) / (line.width * len(track.held))
    return {"thread": track.thread, "share": f"{share:.0%}", "low": low, "high": low + FULL, "middle": low + FULL / 2}


def _area(track: Track, line: Timeline, low: int) -> Iterator[Row]:
    """Give a point where the height changes, and the last; the height holds until the next one."""
    heights = [round(low + FULL * min(1.0, held / line.width), 3) for held in track.held]
    before = None
    for (begin, _), height in zip(_bins(line), heights, strict=True):
        if height != before:
            yield {"thread": track.thread, "from": begin, "low": low, "high": height}
        before = height
    yield {"thread": track.thread, "from": _bins(line)[-1][1], "low": low, "high": before}


def _hover(line: Timeline, number: int) -> Row:
    begin, end = _bins(line)[number]
    shares = {f"t{row}": f"{track.held[number] / line.width:.0%}" for row, track in enumerate(line.held)}
    return {"from": begin, "to": end, "when": _when(begin, end), **shares}


def _bins(line: Timeline) -> list[tuple[float, float]]:
    return list(pairwise(round(line.begin + line.width * number, 6) for number in range(len(line.worst) + 1)))


def _stall(stall: Stall) -> Row:
    return {
        "from": round(stall.start, 6),
        "to": round(stall.end, 6),
        "cause": stall.cause,
        "when": _when(stall.start, stall.end),
        "lasted": duration(stall.duration),
        "culprit": place_of(stall.culprit) if stall.culprit else "nobody saw the line",
        "thread": str(stall.culprit_thread or "-"),
        "callback": place_of(stall.callback) if stall.callback else "-",
        "task": stall.task or "-",
        "coroutine": stall.coroutine or "-",
    }


def _when(begin: float, end: float) -> str:
    return f"{begin:.2f} s to {end:.2f} s"


def _ms(seconds: float) -> float:
    return round(max(1.3 * FOOT, seconds) * 1000, 3)


def _heading(text: str) -> alt.TitleParams:
    return alt.TitleParams(text, anchor="start", frame="group")


def _tips(**titles: str) -> list[alt.Tooltip]:
    return [alt.Tooltip(f"{field}:N", title=title) for field, title in titles.items()]
