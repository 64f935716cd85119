"""The picture of a watch: panels of the loop's lag, its stalls by cause, and the threads that held the GIL, over time."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import altair as alt

from gilscope.formatting import duration
from gilscope.naming import place_of
from gilscope.reports.style import CAUSE_COLOURS, GREY, TICK_COLOUR, tips

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope.records.stall import Cause, Stall
    from gilscope.records.timeline import Timeline, Track
    from gilscope.records.watch_report import WatchReport

    Row = dict[str, Any]

MIN_LAG_SECONDS = 1e-5
"""The log scale of the lags begins here. A smaller lag is drawn a little higher, so that it can be seen."""
WIDTH_PIXELS = 800
"""A page gives the panels the width that its window has room for."""
CAUSE_ROW_PIXELS = 24
THREAD_ROW_PIXELS = 44
FULL_HEIGHT = 0.55
"""The part of a thread's row that is filled while the thread holds the GIL all the time. The rest has the thread's name."""
NAME_HEIGHT = 0.76
MIN_SHARE_DRAWN = 0.005
"""A thread that held the GIL for a smaller share of the time has no row."""


def chart(report: WatchReport) -> alt.VConcatChart | None:
    """Return the panels, or ``None`` if there is nothing to draw."""
    line = report.timeline
    stalls = [_stall(stall) for stall in drawn(report)]
    time = alt.X("from:Q", scale=alt.Scale(domain=span(report), nice=False, clamp=True), axis=_axis())
    panels = []
    if line is not None and any(lag is not None for lag in line.worst):
        panels.append(_lags(line, stalls, report.stall, time))
    if stalls:
        panels.append(_stalls(stalls, time))
    if line is not None and (tracks := tracks_drawn(line)):
        panels.append(_holders(line, tracks, time))
    if not panels:
        return None
    return alt.VConcatChart(vconcat=panels, spacing=14)


def span(report: WatchReport) -> tuple[float, float]:
    """Return the first and the last moment of the time axis, in seconds since the watch began."""
    line = report.timeline
    if line is None:
        return 0.0, report.snapshot.elapsed
    return line.begin, line.begin + line.width * len(line.worst)


def drawn(report: WatchReport) -> list[Stall]:
    """Return the stalls that the report has in full and that fall on the time axis, in the order of time."""
    begin, _ = span(report)
    return sorted((stall for stall in report.snapshot.worst if stall.end > begin), key=lambda stall: stall.start)


def _axis() -> alt.Axis:
    return alt.Axis(title="time since the watch began (s)", tickCount=6, labelFlush=True)


def _lags(line: Timeline, stalls: list[Row], threshold: float, time: alt.X) -> alt.LayerChart:
    highest = max(threshold, *(lag for lag in line.worst if lag is not None))
    first, last = round(math.log10(MIN_LAG_SECONDS * 1000)), math.ceil(math.log10(highest * 1000))
    scale = alt.Scale(type="log", domain=[10.0**first, 10.0**last], nice=False, clamp=True)
    axis = alt.Axis(
        title="lag (log scale)",
        values=[10.0**power for power in range(first, last + 1)],
        labelExpr="datum.value >= 1000 ? datum.value / 1000 + ' s' : datum.value + ' ms'",
    )
    rows = [
        {"from": begin, "to": end, "ms": _ms(lag), "when": _when(begin, end), "lag": duration(lag)}
        for (begin, end), lag in zip(_bins(line), line.worst, strict=True)
        if lag is not None
    ]
    bands = alt.Chart(alt.InlineData(values=stalls)).mark_rect(opacity=0.45)
    bars = alt.Chart(alt.InlineData(values=rows)).mark_bar(color=TICK_COLOUR, stroke=TICK_COLOUR, strokeWidth=0.5)
    limit = alt.Chart(alt.InlineData(values=[{"ms": threshold * 1000}])).mark_rule(color="black", strokeDash=[4, 3])
    y = alt.Y("ms:Q", scale=scale, axis=axis)
    colour = alt.Color("cause:N", scale=_colours(stalls), legend=None)
    bar_tips = tips(when="when", lag="maximum lag of the loop")
    return alt.LayerChart(
        layer=[
            bands.encode(time, alt.X2("to:Q"), colour, y=alt.value(0), y2=alt.value("height"), tooltip=_stall_tips()),
            bars.encode(time, alt.X2("to:Q"), y, alt.Y2(datum=10.0**first), tooltip=bar_tips),
            limit.encode(y, tooltip=[alt.Tooltip("ms:Q", title="threshold of a stall (ms)")]),
        ],
        width=WIDTH_PIXELS,
        height=150,
        title=_heading("Lag of the event loop"),
    )


def _stalls(stalls: list[Row], time: alt.X) -> alt.LayerChart:
    causes = _causes(stalls)
    axis = alt.Axis(title=None, labelLimit=0, labelPadding=6, domain=False, ticks=False, grid=True)
    row = alt.Y("cause:N", sort=causes, scale=alt.Scale(domain=causes), axis=axis)
    bars = alt.Chart(alt.InlineData(values=stalls)).mark_bar(height=16, strokeWidth=1)
    # The stroke makes a short stall visible in a long watch.
    colour, stroke = (channel("cause:N", scale=_colours(stalls), legend=None) for channel in (alt.Color, alt.Stroke))
    return alt.LayerChart(
        layer=[bars.encode(time, alt.X2("to:Q"), row, colour, stroke, tooltip=_stall_tips())],
        width=WIDTH_PIXELS,
        height=alt.Step(CAUSE_ROW_PIXELS),
        title=_heading("Stalls by cause"),
    )


def _stall_tips() -> list[alt.Tooltip]:
    return tips(
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
    return [cause for cause in CAUSE_COLOURS if any(stall["cause"] == cause for stall in stalls)]


def _colours(stalls: list[Row]) -> alt.Scale:
    causes = _causes(stalls)
    return alt.Scale(domain=causes, range=[CAUSE_COLOURS[cause] for cause in causes])


def tracks_drawn(line: Timeline) -> list[Track]:
    """Return the threads that have a row: those that held the GIL for more than a moment, the longest holder first."""
    return [track for track in line.held if _share(track, line) >= MIN_SHARE_DRAWN]


def _holders(line: Timeline, tracks: list[Track], time: alt.X) -> alt.LayerChart:
    """Draw a row for each thread: its name and share of the whole time, and below them its share of each bin, as a height."""
    count = len(tracks)
    y = alt.Y("low:Q", scale=alt.Scale(domain=[0, count], nice=False), axis=None)
    names = [_name(track, line, count - number) for number, track in enumerate(tracks, 1)]
    areas = [row for number, track in enumerate(tracks, 1) for row in _area(track, line, count - number)]
    hovers = [_hover(line, tracks, number) for number in range(len(line.worst))]
    named = alt.Chart(alt.InlineData(values=names))
    name_tips = tips(thread="thread", share="held the GIL, share of the time shown")
    held = alt.Chart(alt.InlineData(values=areas)).mark_area(interpolate="step-after", color=TICK_COLOUR)
    over = alt.Chart(alt.InlineData(values=hovers)).mark_rect(opacity=0)
    over_tips = tips(when="when", **{f"t{number}": track.thread for number, track in enumerate(tracks)})
    middle = alt.Y("name:Q")
    # A name that is too long loses its beginning, which the threads of a pool have in common.
    left = named.mark_text(align="left", baseline="middle", dir="rtl")
    right = named.mark_text(align="right", baseline="middle", color=GREY)
    return alt.LayerChart(
        layer=[
            named.mark_rect(color="#f0f0f0").encode(y, alt.Y2("high:Q"), x=alt.value(0), x2=alt.value("width")),
            held.encode(time, y, alt.Y2("high:Q"), detail="thread:N"),
            left.encode(middle, x=alt.value(0), text="thread:N", tooltip=name_tips),
            right.encode(middle, x=alt.value("width"), text="share:N"),
            over.encode(time, alt.X2("to:Q"), y=alt.value(0), y2=alt.value("height"), tooltip=over_tips),
        ],
        width=WIDTH_PIXELS,
        height=THREAD_ROW_PIXELS * count,
        title=_heading("Threads that held the GIL"),
    )


def _share(track: Track, line: Timeline) -> float:
    return sum(track.held) / (line.width * len(track.held))


def _name(track: Track, line: Timeline, low: int) -> Row:
    share = f"{_share(track, line):.0%}"
    return {"thread": track.thread, "share": share, "low": low, "high": low + FULL_HEIGHT, "name": low + NAME_HEIGHT}


def _area(track: Track, line: Timeline, low: int) -> Iterator[Row]:
    """Yield a point wherever the height changes, and one at the end. A height holds until the next point."""
    heights = [round(low + FULL_HEIGHT * min(1.0, held / line.width), 3) for held in track.held]
    before = None
    for (begin, _), height in zip(_bins(line), heights, strict=True):
        if height != before:
            yield {"thread": track.thread, "from": begin, "low": low, "high": height}
        before = height
    yield {"thread": track.thread, "from": _bins(line)[-1][1], "low": low, "high": before}


def _hover(line: Timeline, tracks: list[Track], number: int) -> Row:
    begin, end = _bins(line)[number]
    shares = {f"t{row}": f"{track.held[number] / line.width:.0%}" for row, track in enumerate(tracks)}
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
        "culprit": place_of(stall.culprit) if stall.culprit else "unknown line",
        "thread": str(stall.culprit_thread or "-"),
        "callback": place_of(stall.callback) if stall.callback else "-",
        "task": stall.task or "-",
        "coroutine": stall.coroutine or "-",
    }


def _when(begin: float, end: float) -> str:
    return f"{begin:.2f} s to {end:.2f} s"


def _ms(seconds: float) -> float:
    return round(max(1.3 * MIN_LAG_SECONDS, seconds) * 1000, 3)


def _heading(text: str) -> alt.TitleParams:
    return alt.TitleParams(text, anchor="start", frame="group")
