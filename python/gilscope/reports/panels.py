"""The panels of the chart: the loop in time, the lag of its ticks, and how many ticks came.

Each takes the trials, the budget in seconds, and the rows that the panels share.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt

from gilscope.formatting import milliseconds
from gilscope.reports.ticks import late_spans, merged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope.records.result import Trial
    from gilscope.reports.ticks import LateSpan, Tick

    Panel = alt.LayerChart
    Row = dict[str, Any]

MOST_BINS = 900
"""Bins a case. Each is one tick mark and part of one bar at most, so that a case has fewer than 2000 marks."""
QUANTILES = ("median", "99 %", "worst")
SHAPES = ["circle", "diamond", "triangle-right"]

# Two colours that the colour-blind tell apart, and of which one is much darker than the other in grey. No mark is told by
# its colour alone: ticks are strokes and stalls are blocks, quantiles differ in shape.
TICK = "#004d7a"
LATE = "#e69f00"


def in_time(trials: list[Trial], budget: float, row: alt.Y) -> Panel:
    """Draw when ticks came and when the loop was later than ``budget``."""
    bars: list[Row] = []
    ticks: list[Row] = []
    notes: list[Row] = []
    longest = 0.0
    for trial in trials:
        if trial.measure is None:
            notes.append({"case": trial.case, "note": trial.status, "reason": trial.reason})
            continue
        bins = merged(trial.measure.ticks, MOST_BINS)
        longest = max(longest, trial.measure.elapsed, *(tick.served for tick in bins))
        bars += (_bar(trial.case, span) for span in late_spans(bins, budget))
        ticks += (_mark(trial.case, tick) for tick in bins if tick.came)
    scale = alt.Scale(domain=[0, longest or 1.0], nice=False)
    axis = alt.Axis(title="time, in seconds", grid=False, tickCount=5, labelFlush=False)
    late = alt.Chart(alt.InlineData(values=bars)).mark_bar(height=16, color=LATE, stroke=LATE, strokeWidth=0.8)
    came = alt.Chart(alt.InlineData(values=ticks)).mark_tick(
        size=9,
        thickness=1,
        color=TICK,
        opacity=1,
        orient="vertical",
        stroke="transparent",  # so that a pointer finds a mark of one pixel
        strokeWidth=2,
    )
    said = alt.Chart(alt.InlineData(values=notes)).mark_text(align="left", fontStyle="italic", color="#555555")
    late_tips = _tips(begin="late from", end="until", lasted="for", missed="ticks that never came")
    tick_tips = _tips(due="tick due at", served="came at", lag="lag", here="ticks in this mark")
    return alt.LayerChart(
        layer=[
            late.encode(alt.X("start:Q", scale=scale, axis=axis), alt.X2("stop:Q"), row, tooltip=late_tips),
            came.encode(alt.X("at:Q", scale=scale, axis=axis), row, tooltip=tick_tips),
            said.encode(row, x=alt.value(4), text="note:N", tooltip=_tips(note="status", reason="why")),
        ]
    )


def lags(trials: list[Trial], budget: float, row: alt.Y) -> Panel:
    """Draw how late the ticks were, on a log scale, and the budget as a line."""
    points = [point for trial in trials for point in _quantiles(trial)]
    values = [point["ms"] for point in points] + [budget * 1000]
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    scale = alt.Scale(type="log", domain=[10.0**first, 10.0**last], nice=False)
    axis = alt.Axis(
        title="how late, on a log scale",
        values=[10.0**power for power in range(first, last + 1)],
        labelExpr="datum.value >= 1000 ? datum.value / 1000 + ' s' : datum.value + ' ms'",
        labelFlush=False,
        labelOverlap=True,
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
        filled=True, opacity=1, size=55, color=TICK, stroke="white", strokeWidth=0.5
    )
    shape = alt.Shape("quantile:N", scale=alt.Scale(domain=QUANTILES, range=SHAPES), legend=None)
    tips = _tips(quantile="quantile", lag="lag", came="ticks that came")
    return alt.LayerChart(
        layer=[
            span.encode(x, alt.X2("to:Q"), row),
            line.encode(x, tooltip=[alt.Tooltip("ms:Q", title="the budget, ms")]),
            point.encode(x, row, shape, tooltip=tips),
        ]
    )


def counts(trials: list[Trial], row: alt.Y) -> Panel:
    """Write how many ticks came of those that were due."""
    lags = ((trial.case, trial.measure.lag) for trial in trials if trial.measure is not None)
    text = alt.Chart(alt.InlineData(values=[{"case": case, "ticks": f"{lag.came}/{lag.due}"} for case, lag in lags]))
    return alt.LayerChart(layer=[text.mark_text(align="right").encode(row, x=alt.value(60), text="ticks:N")])


def _mark(case: str, tick: Tick) -> Row:
    return {
        "case": case,
        "at": round(tick.served, 6),
        "due": f"{tick.at:.3f} s",
        "served": f"{tick.served:.3f} s",
        "lag": f"{milliseconds(tick.lag)} ms",
        "here": f"{tick.came}, of {tick.due} that were due",
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


def _tips(**titles: str) -> list[alt.Tooltip]:
    return [alt.Tooltip("case:N"), *(alt.Tooltip(f"{field}:N", title=title) for field, title in titles.items())]


def _ms(seconds: float | None) -> float:
    """Return milliseconds for a log scale, which has no zero: a microsecond at least."""
    return max(0.001, (seconds or 0.0) * 1000)
