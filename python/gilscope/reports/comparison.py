"""A comparison for a terminal: the verdict, the recommendation, and the figures behind both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gilscope.comparison.figures import ComparisonFigures
from gilscope.comparison.recommendation import recommend
from gilscope.formatting import duration, listed, milliseconds, size
from gilscope.naming import quoted
from gilscope.records.verdict import sentences
from gilscope.reports.table import missing, numbered, strip, where
from gilscope.trial.work import work

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from gilscope.records.comparison import RoundTrip
    from gilscope.records.result import Result, Trial

MAX_STRIP_COLUMNS = 40
LEGEND = (
    "idle: the loop alone. x2: two calls at once. ticks: came/due. lag: how late a tick was, in ms; a missed tick counts with the lateness it had "
    "when the loop ran again. call: p50. cores: kept busy. in time: | every tick came, : at least half, . fewer, blank: none."
)
COLUMNS = ("where", "ticks", "lag p50", "p99", "max", "calls/s", "call", "cores")
COST_COLUMNS = ("round trip", "empty", "overhead", "caller", "arguments", "result", "answer")
COSTS_LEGEND = (
    "empty: a call that does nothing. overhead: the same with these arguments and this result. caller: the part of the "
    "overhead for which the loop waits, because the caller pickles the arguments or unpickles the result."
)


def parts(result: Result, width: int) -> Iterator[RenderableType]:
    """Yield a comparison, the recommendation first, for a terminal of this width."""
    run = ComparisonFigures(result)
    yield Text(title(run), style="bold")
    yield Text(where(result), style="dim")
    yield ""
    yield verdict_without_remedy(run)
    yield from _advice(result)
    yield ""
    yield _trials(run, width)
    yield from (Text(line, style="yellow") for line in (*missing(result), *doubts(result)))
    yield Text(LEGEND, style="dim")
    yield ""
    yield _costs(run)
    yield from (Text(line, style="yellow") for line in notes(run))
    yield Text(COSTS_LEGEND, style="dim")
    yield from numbered(recommend(result).findings)


def title(run: ComparisonFigures) -> str:
    budget, seconds = duration(run.comparison.budget), duration(run.result.plan.seconds)
    return f"gilscope compare: {quoted(run.comparison.subject)}, {seconds} per trial; the loop may wait {budget}"


def verdict_without_remedy(run: ComparisonFigures) -> str:
    """Return what the verdict says without its remedy: the recommendation says what to do, and may say otherwise.

    An undecided verdict keeps what would settle it, unless the call is too short to matter.
    """
    *said, remedy = sentences(run.verdict, longer="gilscope check --time 5")
    return " ".join([*said, remedy] if run.verdict.kind == "undecided" and not run.short else said)


def _advice(result: Result) -> Iterator[RenderableType]:
    advice = recommend(result)
    yield ""
    yield Text(advice.claim, style="bold green")
    yield Padding(advice.because, (0, 0, 0, 3))
    yield Padding(advice.changes(), (0, 0, 0, 3))


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
        table.add_row(*row, strip(trial.measure.ticks, min(MAX_STRIP_COLUMNS, room)) if trial.measure else "")
    return table


def cells(trial: Trial) -> tuple[str, ...]:
    """Return the row of a trial: a cell for each of :data:`COLUMNS`."""
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
    if doubt(trial):
        rate = f"?{rate}"
    return name, f"{measure.lag.came}/{measure.lag.due}", *lags, rate, call, cores


def doubt(trial: Trial) -> str:
    """Return why the calls a second of a trial cannot be compared with those of others, or an empty string."""
    figure = work(trial, own_task=False)
    return "" if figure is None else figure.doubt


def doubts(result: Result) -> Iterator[str]:
    """Yield a line for each reason why the calls a second of some trials cannot be relied on."""
    cases: dict[str, list[str]] = {}
    for trial in result.trials:
        if reason := doubt(trial):
            cases.setdefault(reason, []).append(trial.case)
    yield from (f"? Do not rely on the calls/s of {listed(names)}: {reason}." for reason, names in cases.items())


def _costs(run: ComparisonFigures) -> Table:
    table = _table(COST_COLUMNS)
    for row in costs(run):
        table.add_row(*row)
    return table


def costs(run: ComparisonFigures) -> list[tuple[str, ...]]:
    """Return a row for each strategy whose round trip works: a cell for each of :data:`COST_COLUMNS`."""
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
    """Yield a line for the strategies that are left out, or whose answer differs, with the reason."""
    noted: dict[str, list[str]] = {}
    for trip in run.comparison.round_trips:
        note = (
            f" left out: {trip.reason}"
            if not trip.works
            else f": answer {trip.answer}: {trip.note}"
            if trip.note
            else ""
        )
        noted.setdefault(note, []).append(trip.strategy)
    yield from (f"{listed(strategies)}{note}" for note, strategies in noted.items() if note)
    if any(trip.works and not trip.supervised for trip in run.comparison.round_trips):
        yield "* in the caller's process, unsupervised: no time limit applies there, and the figures include its other threads."


def _table(names: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for place, name in enumerate(names):
        table.add_column(name, justify="right" if place else "left", no_wrap=True)
    return table
