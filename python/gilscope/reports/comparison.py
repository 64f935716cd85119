"""A comparison for a terminal: the verdict, what to do, and the figures behind both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gilscope.comparison.figures import ComparisonFigures
from gilscope.comparison.recommendation import recommend
from gilscope.formatting import duration, milliseconds, size
from gilscope.naming import quoted
from gilscope.records.verdict import sentences
from gilscope.reports.table import missing, numbered, strip, where

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from gilscope.records.comparison import RoundTrip
    from gilscope.records.result import Result, Trial

WIDEST_STRIP = 40
LEGEND = (
    "x2: two calls at once. ticks: came/due. lag: how late a tick was, in ms; one that never came counts with the lateness "
    "that it had when the loop was next served. call: p50. cores: kept busy. in time: | every tick came, : most, "
    ". few, blank none."
)
COLUMNS = ("where", "ticks", "lag p50", "p99", "max", "calls/s", "call", "cores")
COST_COLUMNS = ("there and back", "empty", "carrying", "caller", "arguments", "result", "answer")
COSTS_LEGEND = (
    "empty: a call that does nothing. carrying: an empty call with these arguments and this result. caller: of that, what "
    "pickling the arguments and unpickling the result keeps the loop waiting."
)


def parts(result: Result, width: int) -> Iterator[RenderableType]:
    """Yield what a comparison shows, what to do first."""
    run = ComparisonFigures(result)
    yield Text(title(run), style="bold")
    yield Text(where(result), style="dim")
    yield ""
    yield " ".join(sentences(run.verdict, longer="gilscope check --time 5"))
    yield from _advice(result)
    yield ""
    yield _trials(run, width)
    yield from (Text(line, style="yellow") for line in missing(result))
    yield Text(LEGEND, style="dim")
    yield ""
    yield _costs(run)
    yield from (Text(line, style="yellow") for line in notes(run))
    yield Text(COSTS_LEGEND, style="dim")
    yield from numbered(recommend(result).findings)


def title(run: ComparisonFigures) -> str:
    budget, seconds = duration(run.comparison.budget), duration(run.result.plan.seconds)
    return f"gilscope compare: {quoted(run.comparison.subject)}, {seconds} a trial; the loop may wait {budget}"


def _advice(result: Result) -> Iterator[RenderableType]:
    advice = recommend(result)
    yield ""
    yield Text(advice.claim, style="bold green")
    yield Padding(advice.because, (0, 0, 0, 3))
    yield Padding(f"That would change with {'; '.join(advice.unless)}.", (0, 0, 0, 3))


def _trials(run: ComparisonFigures, width: int) -> Table:
    trials = [run.result.idle, *run.result.trials]
    rows = [cells(trial) for trial in trials]
    table = _table(COLUMNS)
    room = width - sum(max(len(name), *(len(row[i]) for row in rows)) + 1 for i, name in enumerate(COLUMNS))
    if room < len("in time"):
        for row in rows:
            table.add_row(*row)
        return table
    table.add_column("in time", no_wrap=True)
    for trial, row in zip(trials, rows, strict=True):
        table.add_row(*row, strip(trial.measure.ticks, min(WIDEST_STRIP, room)) if trial.measure else "")
    return table


def cells(trial: Trial) -> tuple[str, ...]:
    """Return what stands under each of :data:`COLUMNS` for a trial."""
    name = trial.case if trial.supervised else f"{trial.case} *"
    measure = trial.measure
    if measure is None:
        return (name, trial.status, *[""] * 6)
    lags = (
        "-" if value is None else milliseconds(value) for value in (measure.lag.p50, measure.lag.p99, measure.lag.max)
    )
    cores = "" if measure.cpu is None or trial.strategy == "dask" else f"{measure.cpu / measure.elapsed:.2f}"
    rate = "" if measure.call is None else f"{measure.rate:.0f}" if measure.rate >= 100 else f"{measure.rate:.3g}"
    call = "" if measure.call is None else duration(measure.call.p50)
    return name, f"{measure.lag.came}/{measure.lag.due}", *lags, rate, call, cores


def _costs(run: ComparisonFigures) -> Table:
    table = _table(COST_COLUMNS)
    for row in costs(run):
        table.add_row(*row)
    return table


def costs(run: ComparisonFigures) -> list[tuple[str, ...]]:
    """Return what stands under each of :data:`COST_COLUMNS` for each strategy that the call travels to."""
    return [_cost(trip) for trip in run.comparison.round_trips if trip.works]


def _cost(trip: RoundTrip) -> tuple[str, ...]:
    pickling = max(trip.pickling or 0.0, trip.unpickling or 0.0)
    sizes = ("-" if value is None else size(value) for value in (trip.argument_bytes, trip.result_bytes))
    return (
        trip.strategy if trip.supervised else f"{trip.strategy} *",
        duration(trip.empty or 0.0),
        duration(trip.overhead or 0.0),
        "-" if trip.shared else duration(pickling),
        *sizes,
        trip.answer,
    )


def notes(run: ComparisonFigures) -> Iterator[str]:
    """Yield what is to be said of single strategies: why one is left out, or its answer another."""
    for trip in run.comparison.round_trips:
        if not trip.works:
            yield f"{trip.strategy} left out: {trip.reason}"
        elif trip.note:
            yield f"{trip.strategy}: answer {trip.answer}: {trip.note}"
    if run.comparison.in_process_reason:
        yield "* in the caller's process, unsupervised: no time limit holds there, and its other threads are in the figures."


def _table(names: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for place, name in enumerate(names):
        table.add_column(name, justify="right" if place else "left", no_wrap=True)
    return table
