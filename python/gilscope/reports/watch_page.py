"""A watch as one HTML page: the picture, the culprits with what to do about them, and where it was measured."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from gilscope.formatting import counted, duration
from gilscope.reports import watch_chart
from gilscope.reports.ending import ending
from gilscope.reports.flame import flames
from gilscope.reports.saturation import saturated
from gilscope.reports.shell import about, filled, prose, shell, small, table
from gilscope.reports.style import CAUSE_COLOURS, TICK_COLOUR
from gilscope.reports.utilization import utilization
from gilscope.reports.watch import MAX_SITES, others, stalls, unseen, where
from gilscope.reports.watch_figures import gil, heading, lags, span
from gilscope.watch.cause import REMEDY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope.records.stall import Site
    from gilscope.records.watch_report import WatchReport
    from gilscope.reports.saturation import Saturated

COLUMNS = ("cause", "where, and what to do", "stalled", "times", "longest")


def page(report: WatchReport) -> str:
    """Return the page."""
    chart = watch_chart.chart(report)
    seen = report.snapshot
    said = "".join(
        f"<p class='warning'>{escape(line)}</p>"
        for line in (*ending(report.ending), *unseen(seen, from_outside=report.attached is not None))
    )
    body = filled(
        "watch.html",
        heading=escape(heading(report)),
        figures="".join(
            f"<li>{escape(line)}</li>" for line in (*span(report), *utilization(report), *lags(report), *gil(report))
        ),
        figure="" if chart is None else _figure(report),
        time=flames(report),
        saturated="".join(map(_saturated, saturated(report))),
        stalls=escape(stalls(report)),
        table=_table(report),
        unseen=said,
        about=about(report.machine, report.created, report.version),
    )
    return shell(
        title=f"{heading(report).partition(':')[0]}: {' '.join(report.command)}",
        body=body,
        panels=None if chart is None else chart.to_dict(),
    )


def _saturated(loop: Saturated) -> str:
    lines = "".join(f"<div class='place'>{escape(line)}</div>" for line in loop.lines)
    return (
        f"<div class='warning'><b>{escape(loop.claim)}</b>{lines}<div class='remedy'>{prose(loop.remedy)}</div></div>"
    )


def _figure(report: WatchReport) -> str:
    return filled(
        "watch_figure.html",
        lag=TICK_COLOUR,
        bar="lag of the event loop" if report.timeline is None else f"maximum lag in {duration(report.timeline.width)}",
        threshold=escape(duration(report.stall)),
        caption=escape(" ".join(_caption(report))),
    )


def _caption(report: WatchReport) -> Iterator[str]:
    """Yield sentences on how to read the picture, and on what it leaves out."""
    line, seen = report.timeline, report.snapshot
    if line is None:
        yield "This report was written without a time line, so the picture has no lags and no threads."
    else:
        yield f"Each bar is the maximum lag in {duration(line.width)}. Where there is no bar, no event loop ran."
        tracks = watch_chart.tracks_drawn(line)
        if tracks:
            yield "A thread's row shows how much of the time the thread held the GIL: a full row is all of it."
        if left_out := len(line.held) - len(tracks):
            left = counted(left_out, "thread")
            yield f"Left out: {left} that held the GIL for less than {watch_chart.MIN_SHARE_DRAWN:.1%} of the time."
        if line.begin and report.excerpt is None:
            yield f"The picture leaves out the first {line.begin:.0f} s, because a watch keeps only its last minutes. All other figures cover the whole watch."
    count, drawn = sum(seen.stalls.values()), len(watch_chart.drawn(report))
    if drawn < count:
        yield f"The picture shows {drawn} of {counted(count, 'stall')}: the longest ones in this time."
    yield "Point at a mark to see its figures."


def _table(report: WatchReport) -> str:
    sites = report.snapshot.sites
    if not sites:
        return ""
    rest = others(report.snapshot)
    rows = table(COLUMNS, map(_row, sites[:MAX_SITES]))
    return rows + small(rest)


def _row(site: Site) -> str:
    colour = CAUSE_COLOURS[site.cause]
    swatch = f"<svg width='12' height='12' aria-hidden='true'><path d='M0 0h12v12H0z' fill='{colour}'/></svg>"
    places = "".join(f"<div class='place'>{escape(place)}</div>" for place in where(site))
    figures = (f"{site.stalled:.2f} s", str(site.stalls), duration(site.longest))
    cells = "".join(
        f"<td data-name='{name}'>{escape(figure)}</td>" for name, figure in zip(COLUMNS[2:], figures, strict=True)
    )
    return (
        f"<tr><td class='cause'>{swatch}{escape(site.cause)}</td>"
        f"<td class='words'>{places}<div class='remedy'>{prose(REMEDY[site.cause])}</div></td>{cells}</tr>"
    )
