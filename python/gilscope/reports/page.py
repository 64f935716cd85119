"""A result as one HTML page that needs nothing else: the picture, the table, the findings, the machine and the versions."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING

from gilscope.comparison.figures import Compared
from gilscope.comparison.recommendation import recommend
from gilscope.demo.findings import findings, warnings
from gilscope.reports import chart, comparison, panels
from gilscope.reports.shell import about, filled, shell, table
from gilscope.reports.table import COLUMNS, LEGEND, cells, starts, title

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilscope.records.result import Result, Trial


def page(result: Result) -> str:
    """Return the page."""
    run = None if result.comparison is None else Compared(result)
    body = filled(
        "result.html",
        heading=chart.HEADING,
        asked=escape(title(result)),
        tick=panels.TICK,
        late=panels.LATE,
        budget=f"{chart.budget(result) * 1000:g}",
        words=escape(" ".join(chart.words(result))),
        table=_trials(result, COLUMNS, partial(cells, result)) if run is None else _compared(run),
        legend=escape(" ".join([LEGEND.partition(" in time:")[0], starts(result)])) if run is None else "",
        findings=("" if run is None else _advice(run)) + _findings(result),
        about=about(result.machine, result.created, result.version),
    )
    return shell(title=chart.HEADING, body=body, panels=chart.panels(result).to_dict())


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
    return table(columns, rows)


def _compared(run: Compared) -> str:
    """Return both tables of a comparison, each with what explains it."""
    costs = (f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in comparison.costs(run))
    return "".join(
        [
            _trials(run.result, comparison.COLUMNS, comparison.cells),
            _small(comparison.LEGEND.partition(" in time:")[0]),
            table(comparison.COST_COLUMNS, costs),
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
