"""The panels of the chart: the ticks over time, their lags, and how many of them came.

Each function takes the trials and the y axis that the panels share, a row for each case. ``budget`` is in seconds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt

from gilscope.formatting import milliseconds
from gilscope.reports.style import GREY, LATE_COLOUR, TICK_COLOUR, tips
from gilscope.reports.ticks import late_spans, merged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope.records.result import Trial
    from gilscope.reports.ticks import LateSpan, Tick

    Panel = alt.LayerChart
    Row = dict[str, Any]

MAX_BINS_PER_CASE = 900
"""Each bin is at most one tick mark and part of one bar, so a case has fewer than 2000 marks."""
MIN_LAG_MS = 0.001
"""Draw lags below this here: a log scale has no zero."""
LABEL_GAP_PIXELS = 8
"""Keep labels of an axis this far apart, so that they do not touch in a font wider than the one that was measured."""
QUANTILES = ("median", "p99", "max")
SHAPES = ("circle", "diamond", "triangle-right")


def in_time(trials: list[Trial], budget: float, row: alt.Y) -> Panel:
    """Draw when each tick came, and the spans in which the loop was later than ``budget``."""
    bars: list[Row] = []
    ticks: list[Row] = []
    notes: list[Row] = []
    longest = 0.0
    for trial in trials:
        if trial.measure is None:
            notes.append({"case": trial.case, "note": trial.status, "reason": trial.reason})
            continue
        bins = merged(trial.measure.ticks, MAX_BINS_PER_CASE)
        longest = max(longest, trial.measure.elapsed, *(tick.served for tick in bins))
        bars += (_bar(trial.case, span) for span in late_spans(bins, budget))
        ticks += (_mark(trial.case, tick) for tick in bins if tick.came)
    scale = alt.Scale(domain=[0, longest or 1.0], nice=False)
    axis = alt.Axis(title="time (s)", grid=False, tickCount=5, labelFlush=False, labelSeparation=LABEL_GAP_PIXELS)
    late = alt.Chart(alt.InlineData(values=bars)).mark_bar(
        height=16, color=LATE_COLOUR, stroke=LATE_COLOUR, strokeWidth=0.8
    )
    came = alt.Chart(alt.InlineData(values=ticks)).mark_tick(
        size=9,
        thickness=1,
        color=TICK_COLOUR,
        opacity=1,
        orient="vertical",
        stroke="transparent",  # so that a pointer finds a mark of one pixel
        strokeWidth=2,
    )
    said = alt.Chart(alt.InlineData(values=notes)).mark_text(align="left", fontStyle="italic", color=GREY)
    late_tips = tips(case="case", begin="late from", end="until", lasted="for", missed="ticks that never came")
    tick_tips = tips(case="case", due="tick due at", served="came at", lag="lag", here="ticks in this mark")
    return alt.LayerChart(
        layer=[
            late.encode(alt.X("start:Q", scale=scale, axis=axis), alt.X2("stop:Q"), row, tooltip=late_tips),
            came.encode(alt.X("at:Q", scale=scale, axis=axis), row, tooltip=tick_tips),
            said.encode(row, x=alt.value(4), text="note:N", tooltip=tips(case="case", note="status", reason="reason")),
        ]
    )


def lags(trials: list[Trial], budget: float, row: alt.Y) -> Panel:
    """Draw the quantiles of the lags on a log scale, and the budget as a line."""
    points = [point for trial in trials for point in _quantiles(trial)]
    values = [point["ms"] for point in points] + [budget * 1000]
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    scale = alt.Scale(type="log", domain=[10.0**first, 10.0**last], nice=False)
    axis = alt.Axis(
        title="lag (log scale)",
        values=[10.0**power for power in range(first, last + 1)],
        labelExpr="datum.value >= 1000 ? datum.value / 1000 + ' s' : datum.value + ' ms'",
        labelFlush=False,
        labelOverlap=True,
        labelSeparation=LABEL_GAP_PIXELS,
    )
    x = alt.X("ms:Q", scale=scale, axis=axis)
    spans = [
        {"case": trial.case, "ms": _ms(trial.measure.lag.p50), "to": _ms(trial.measure.lag.max)}
        for trial in trials
        if trial.measure is not None and trial.measure.lag.p50 is not None
    ]
    span = alt.Chart(alt.InlineData(values=spans)).mark_rule(color="#888888")
    line = alt.Chart(alt.InlineData(values=[{"ms": budget * 1000}])).mark_rule(color="black", strokeDash=[4, 3])
    point = alt.Chart(alt.InlineData(values=points)).mark_point(
        filled=True, opacity=1, size=55, color=TICK_COLOUR, stroke="white", strokeWidth=0.5
    )
    shape = alt.Shape("quantile:N", scale=alt.Scale(domain=QUANTILES, range=list(SHAPES)), legend=None)
    point_tips = tips(case="case", quantile="quantile", lag="lag", came="ticks that came")
    return alt.LayerChart(
        layer=[
            span.encode(x, alt.X2("to:Q"), row),
            line.encode(x, tooltip=[alt.Tooltip("ms:Q", title="budget (ms)")]),
            point.encode(x, row, shape, tooltip=point_tips),
        ]
    )


def counts(trials: list[Trial], row: alt.Y) -> Panel:
    """Write how many of the due ticks came."""
    lags = ((trial.case, trial.measure.lag) for trial in trials if trial.measure is not None)
    text = alt.Chart(alt.InlineData(values=[{"case": case, "ticks": f"{lag.came}/{lag.due}"} for case, lag in lags]))
    return alt.LayerChart(layer=[text.mark_text(align="right").encode(row, x=alt.value("width"), text="ticks:N")])


def _mark(case: str, tick: Tick) -> Row:
    return {
        "case": case,
        "at": round(tick.served, 6),
        "due": f"{tick.at:.3f} s",
        "served": f"{tick.served:.3f} s",
        "lag": f"{milliseconds(tick.lag)} ms",
        "here": f"{tick.came} came of {tick.due} due",
    }


def _bar(case: str, span: LateSpan) -> Row:
    return {
        "case": case,
        "start": round(span.begin, 6),
        "stop": round(span.end, 6),
        "begin": f"{span.begin:.3f} s",
        "end": f"{span.end:.3f} s",
        "lasted": f"{milliseconds(span.end - span.begin)} ms",
        "missed": f"{span.missed} of {span.due}",
    }


def _quantiles(trial: Trial) -> Iterator[Row]:
    if trial.measure is None:
        return
    lag = trial.measure.lag
    for name, value in zip(QUANTILES, (lag.p50, lag.p99, lag.max), strict=True):
        if value is not None:
            yield {
                "case": trial.case,
                "quantile": name,
                "ms": _ms(value),
                "lag": f"{milliseconds(value)} ms",
                "came": f"{lag.came} of {lag.due}",
            }


def _ms(seconds: float | None) -> float:
    return max(MIN_LAG_MS, (seconds or 0.0) * 1000)
