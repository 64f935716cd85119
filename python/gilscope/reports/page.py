"""A result as one HTML page that needs nothing else: the picture, the table, the findings, the machine and the versions.

Vega and what draws with it stand in the page, whose content security policy forbids it to fetch anything.
"""

from __future__ import annotations

import json
import string
from functools import cache, partial
from html import escape
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING

from gilscope.advice import findings, warnings
from gilscope.compared import Compared
from gilscope.recommendation import recommend
from gilscope.reports import chart, comparison, panels
from gilscope.reports.table import COLUMNS, LEGEND, cells, starts, title

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from gilscope.results import Result, Trial


def page(result: Result) -> str:
    """Return the page."""
    run = None if result.comparison is None else Compared(result)
    template = string.Template(files("gilscope.reports").joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        heading=chart.HEADING,
        asked=escape(title(result)),
        tick=panels.TICK,
        late=panels.LATE,
        budget=f"{chart.budget(result) * 1000:g}",
        words=escape(" ".join(chart.words(result))),
        table=_trials(result, COLUMNS, partial(cells, result)) if run is None else _compared(run),
        legend=escape(" ".join([LEGEND.partition(" in time:")[0], starts(result)])) if run is None else "",
        findings=("" if run is None else _advice(run)) + _findings(result),
        about=_about(result),
        spec=_script(chart.panels(result).to_dict() | {"config": chart.CONFIG}),
        library=_library(),
    )


def _trials(result: Result, columns: Sequence[str], cells_of: Callable[[Trial], Sequence[str]]) -> str:
    rows = []
    for trial in (result.idle, *result.trials):
        name, *rest = cells_of(trial)
        if trial.measure is None:
            tail = f'<td class="note" colspan="{len(rest)}">{escape(f"{trial.status}: {trial.reason}")}</td>'
        else:
            tail = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
        rows.append(f"<tr><td>{escape(name)}</td>{tail}</tr>")
    if result.interrupted:
        rows.append(
            f"<tr><td class='note' colspan='{len(columns)}'>Interrupted: the cases after this did not run.</td></tr>"
        )
    return _table(columns, rows)


def _table(columns: Sequence[str], rows: Iterable[str]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _compared(run: Compared) -> str:
    """Return both tables of a comparison, each with what explains it."""
    costs = (f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in comparison.costs(run))
    return "".join(
        [
            _trials(run.result, comparison.COLUMNS, comparison.cells),
            _small(comparison.LEGEND.partition(" in time:")[0]),
            _table(comparison.COST_COLUMNS, costs),
            *map(_small, comparison.notes(run)),
            _small(comparison.COSTS_LEGEND),
        ]
    )


def _small(words: str) -> str:
    return f"<p class='small'>{escape(words)}</p>"


def _advice(run: Compared) -> str:
    advice = recommend(run.result)
    unless = f" That would change with {'; '.join(advice.unless)}." if advice.unless else ""
    return (
        f"<p>{escape(str(run.verdict))}</p>"
        f"<p><b>{escape(advice.claim)}</b> {escape(advice.because)}{escape(unless)}</p>"
    )


def _findings(result: Result) -> str:
    said = "".join(f"<p class='warning'>{escape(line)}</p>" for line in warnings(result))
    shown = [
        f"<li><b>{escape(one.claim)}</b> {escape(one.evidence)} <div class='remedy'>{escape(one.remedy)}</div></li>"
        for one in findings(result)
    ]
    return said + (
        f"<ol class='findings'>{''.join(shown)}</ol>" if shown else "<p>Nothing that this run alone bears out.</p>"
    )


def _about(result: Result) -> str:
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(what)}</dd>' for name, what in _facts(result))}</dl>"


def _facts(result: Result) -> Iterator[tuple[str, str]]:
    machine = result.machine
    yield "Python", f"{machine.implementation} {machine.python}, {'GIL on' if machine.gil else 'no GIL'}"
    yield "System", machine.system
    yield "Processor", f"{machine.processor}, {machine.cores:g} cores for this process"
    yield "Measured", f"{result.created} by gilscope {result.version}"
    yield "Drawn", f"by gilscope {version('gilscope')}, Altair {version('altair')}"


def _script(value: object) -> str:
    """Return ``value`` as JSON that cannot end the script element that it stands in."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")


@cache
def _library() -> str:
    """Return Vega, Vega-Lite and Vega-Embed, of the version that Altair writes for, from vl-convert's own copy."""
    import altair as alt
    import vl_convert

    major_minor = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    library: str = vl_convert.javascript_bundle(vl_version=major_minor)  # type: ignore[call-arg]  # its stub asks for more
    return library.replace("</script", "<\\/script").replace("<!--", "<\\!--")
