"""A demo or a comparison as one HTML page: the picture, the tables, the findings, and where it was measured."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from gilscope.comparison.figures import ComparisonFigures
from gilscope.comparison.recommendation import recommend
from gilscope.demo.findings import findings, warnings
from gilscope.reports import chart, comparison
from gilscope.reports.shell import about, filled, prose, row, shell, small, table
from gilscope.reports.style import LATE_COLOUR, TICK_COLOUR
from gilscope.reports.table import COLUMNS, LEGEND, cells, doubts, starts
from gilscope.reports.terminal import title

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gilscope.records.result import Result, Trial

UNITS = ("", "came/due", "ms", "ms", "ms", "of one task alone", "", "kept busy")
COMPARISON_UNITS = ("", "came/due", "ms", "ms", "ms", "of all workers", "p50", "kept busy")
"""What stands under the head of each column."""


def page(result: Result) -> str:
    """Return the page."""
    run = None if result.comparison is None else ComparisonFigures(result)
    heading = chart.heading(result)
    body = filled(
        "result.html",
        heading=prose(heading),
        asked=prose(title(result)),
        advice="" if run is None else _advice(run),
        tick=TICK_COLOUR,
        late=LATE_COLOUR,
        budget=f"{chart.budget(result) * 1000:g}",
        words="<br>".join(map(escape, (*chart.words(result), "Point at a mark to see its figures."))),
        tables="".join(_demo_tables(result) if run is None else _comparison_tables(run)),
        findings=_findings(result),
        about=about(result.machine, result.created, result.version),
    )
    return shell(title=heading, body=body, panels=chart.panels(result).to_dict())


def _demo_tables(result: Result) -> Iterator[str]:
    yield _trials(result, COLUMNS, UNITS, [cells(result, trial) for trial in (result.idle, *result.trials)])
    yield small(LEGEND.partition(" in time:")[0])
    yield small(starts(result))


def _comparison_tables(run: ComparisonFigures) -> Iterator[str]:
    trials = (run.result.idle, *run.result.trials)
    yield _trials(run.result, comparison.COLUMNS, COMPARISON_UNITS, [comparison.cells(trial) for trial in trials])
    yield small(comparison.LEGEND.partition(" in time:")[0])
    names = comparison.COST_COLUMNS
    yield table(names, [row(names, cost) for cost in comparison.costs(run)])
    yield from map(small, comparison.notes(run))
    yield small(comparison.COSTS_LEGEND)


def _trials(result: Result, columns: Sequence[str], units: Sequence[str], shown: Sequence[Sequence[str]]) -> str:
    trials: tuple[Trial, ...] = (result.idle, *result.trials)
    rows = [
        row(columns, figures, units) if trial.measure else _without_figures(trial, len(columns))
        for trial, figures in zip(trials, shown, strict=True)
    ]
    if result.interrupted:
        rows.append(
            f"<tr><td class='note' colspan='{len(columns)}'>Interrupted: the remaining cases did not run.</td></tr>"
        )
    return table(columns, rows, units)


def _without_figures(trial: Trial, columns: int) -> str:
    note = escape(f"{trial.status}: {trial.reason}")
    return f"<tr><td>{escape(trial.case)}</td><td class='note' colspan='{columns - 1}'>{note}</td></tr>"


def _advice(run: ComparisonFigures) -> str:
    advice = recommend(run.result)
    return (
        f"<p><b>{prose(advice.claim)}</b> {prose(advice.because)} {prose(advice.changes())}</p>"
        f"<p>{prose(comparison.verdict_without_remedy(run))}</p>"
    )


def _findings(result: Result) -> str:
    said = "".join(f"<p class='warning'>{prose(line)}</p>" for line in (*warnings(result), *doubts(result)))
    shown = [
        f"<li><b>{prose(one.claim)}</b> {prose(one.evidence)} <div class='remedy'>{prose(one.remedy)}</div></li>"
        for one in (findings(result) if result.comparison is None else recommend(result).findings)
    ]
    return said + (
        f"<ol class='findings'>{''.join(shown)}</ol>" if shown else "<p>No findings: this run alone supports none.</p>"
    )
