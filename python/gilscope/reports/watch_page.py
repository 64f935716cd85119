"""A watch as one HTML page that needs nothing else: the time line, the culprits with what to do, and the machine."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from gilscope.formatting import counted, duration
from gilscope.reports import watch_chart
from gilscope.reports.panels import TICK
from gilscope.reports.shell import about, filled, shell, table
from gilscope.reports.watch import SITES, gil, lag, others, stalls, title, unseen, where
from gilscope.watch.cause import REMEDY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope.records.stall import Site
    from gilscope.records.watch_report import WatchReport

COLUMNS = ("why", "where, and what to do", "stalled", "times", "longest")


def page(report: WatchReport) -> str:
    """Return the page."""
    chart = watch_chart.chart(report)
    seen = report.snapshot
    said = "".join(f"<p class='warning'>{escape(line)}</p>" for line in unseen(seen))
    body = filled(
        "watch.html",
        heading=escape(f"gilscope watch: {title(report)}"),
        figures="".join(f"<li>{escape(line)}</li>" for line in (lag(seen), *gil(seen))),
        figure="" if chart is None else _figure(report),
        stalls=escape(stalls(seen, report.stall)),
        table=_table(report),
        unseen=said,
        about=about(report.machine, report.created, report.version),
    )
    return shell(
        title=f"gilscope watch: {' '.join(report.command)}",
        body=body,
        panels=None if chart is None else chart.to_dict(),
    )


def _figure(report: WatchReport) -> str:
    return filled(
        "watch_figure.html",
        lag=TICK,
        threshold=escape(duration(report.stall)),
        caption=escape(" ".join(_caption(report))),
    )


def _caption(report: WatchReport) -> Iterator[str]:
    """What the picture shows, and what it does not."""
    line, seen = report.timeline, report.snapshot
    if line is None:
        yield "This report was written without a time line: how late the loop was and who held the GIL when is not known."
    else:
        yield f"A bar is the worst of {duration(line.width)}; where none is, no loop ran."
        if line.held:
            yield "A thread's row is full where it held the GIL all the time."
        if line.begin:
            yield f"The first {line.begin:.0f} s are not drawn: the watch keeps the last minutes; all figures are of the whole."
    count, drawn = sum(seen.stalls.values()), len(watch_chart.drawn(report))
    if drawn < count:
        yield f"Drawn as such are {drawn} of {counted(count, 'stall')}: of the longest, those that fall into this time."
    yield "Point at a mark for its figures."


def _table(report: WatchReport) -> str:
    sites = report.snapshot.sites
    if not sites:
        return ""
    rest = others(report.snapshot)
    rows = table(COLUMNS, map(_row, sites[:SITES]))
    return rows + (f"<p class='small'>{escape(rest)}</p>" if rest else "")


def _row(site: Site) -> str:
    colour = watch_chart.COLOURS[site.cause]
    swatch = f"<svg width='12' height='12' aria-hidden='true'><path d='M0 0h12v12H0z' fill='{colour}'/></svg>"
    places = "".join(f"<div class='place'>{escape(place)}</div>" for place in where(site))
    figures = (f"{site.stalled:.2f} s", str(site.stalls), duration(site.longest))
    told = "".join(
        f"<td data-name='{name}'>{escape(figure)}</td>" for name, figure in zip(COLUMNS[2:], figures, strict=True)
    )
    return (
        f"<tr><td class='cause'>{swatch}{escape(site.cause)}</td>"
        f"<td class='words'>{places}<div class='remedy'>{escape(REMEDY[site.cause])}</div></td>{told}</tr>"
    )
