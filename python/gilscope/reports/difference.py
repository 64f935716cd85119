"""Two results side by side, for a terminal: what changed, and whether the change exceeds the runs' own spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from gilscope.demo.two_runs import CALLS_AT_ONE_SPEED, PARTS, changes
from gilscope.formatting import milliseconds
from gilscope.reports.table import where
from gilscope.reports.terminal import title

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from gilscope.demo.two_runs import Change, Spread
    from gilscope.records.result import Result

LEGEND = (
    f"Each run is cut into {PARTS} parts; a figure is their median (and the second lowest to the second "
    "highest). came: share of the due ticks. lag: in ms. worst lag: the worst in a part. "
)
OF_A_DEMO = "steps/s: in millions. work: relative to one task alone at the same time (and its quartiles). "
OF_A_COMPARISON = f"{CALLS_AT_ONE_SPEED}: calls/s if the machine had the same speed in both runs (and its quartiles). "
MARKS = (
    "?0.97: do not rely on this figure. ratio: after/before. * differs by more than the runs' own spread; "
    "? differs by more, but is not judged; no mark: differs by less."
)


class Difference:
    """Two results, ``before`` and ``after`` a change, for rich to print."""

    def __init__(self, before: Result, after: Result) -> None:
        self._before = before
        self._after = after

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from _parts(self._before, self._after)


def _parts(before: Result, after: Result) -> Iterator[RenderableType]:
    for name, result in (("before", before), ("after", after)):
        yield Text(f"{name}: {title(result)}", style="bold")
        yield Text(f"        {where(result)}", style="dim")
    for line in cautions(before, after):
        yield Text(f"Caution: {line}", style="yellow")
    yield ""
    found = changes(before, after)
    yield _table(found)
    yield Text(LEGEND + (OF_A_DEMO if before.comparison is None else OF_A_COMPARISON) + MARKS, style="dim")
    yield from (Text(line, style="yellow") for line in _doubts(found))
    yield ""
    yield Text(_summary(found), style="bold")


def cautions(before: Result, after: Result) -> Iterator[str]:
    """Yield what differs between the two runs besides the code, and the cases that cannot be compared."""
    for what in ("kind", "plan", "machine"):
        one, other = getattr(before, what), getattr(after, what)
        if one != other:
            fields = getattr(one, "__struct_fields__", ())
            named = [
                f"{field} {_setting(getattr(one, field))} -> {_setting(getattr(other, field))}"
                for field in fields
                if getattr(one, field) != getattr(other, field)
            ]
            yield f"the two runs differ in their {what}: {', '.join(named) or f'{one} -> {other}'}"
    first, second = ({trial.case for trial in result.trials if trial.measure} for result in (before, after))
    if lonely := sorted(first ^ second):
        yield f"measured in only one of the two runs: {', '.join(lonely)}"


def _setting(value: object) -> object:
    return "not set" if value is None else value


def _table(found: list[Change]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("case", no_wrap=True)
    table.add_column("figure", no_wrap=True)
    for name in ("before", "after", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    shown = ""
    for change in found:
        name = change.case if change.case != shown else ""
        shown = change.case
        table.add_row(
            name,
            change.figure,
            _figure(change.figure, change.before),
            _figure(change.figure, change.after),
            "-" if change.ratio is None else _ratio(change.ratio),
            _mark(change),
            style="bold" if _mark(change) == "*" else "",
        )
    return table


def _figure(name: str, spread: Spread) -> str:
    writers: dict[str, Callable[[float], str]] = {
        "came": "{:.2f}".format,
        "work": "{:.2f}".format,
        "steps/s": _millions,
        "calls/s": _calls,
        CALLS_AT_ONE_SPEED: _calls,
    }
    write = writers.get(name, milliseconds)
    return f"{'?' if spread.doubt else ''}{write(spread.median)} ({write(spread.low)}-{write(spread.high)})"


def _millions(value: float) -> str:
    value /= 1e6
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _calls(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _mark(change: Change) -> str:
    return "" if not change.beyond else "?" if change.doubt else "*"


def _ratio(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def _doubts(found: list[Change]) -> Iterator[str]:
    """Yield the cases whose differences are not judged, and those with a figure that cannot be relied on, and why."""
    doubts: dict[tuple[str, str], list[str]] = {}
    for change in found:
        if change.doubt and (change.beyond or change.before.doubt or change.after.doubt):
            what = "Not judged:" if change.beyond else f"Do not rely on the {change.figure} of"
            cases = doubts.setdefault((what, change.doubt), [])
            if change.case not in cases:
                cases.append(change.case)
    yield from (f"{what} {', '.join(cases)}: {doubt}." for (what, doubt), cases in doubts.items())


def _summary(found: list[Change]) -> str:
    if not found:
        return "No case was measured in both runs."
    unsure = sum(change.beyond and bool(change.doubt) for change in found)
    rest = f" {unsure} more {'differs and is' if unsure == 1 else 'differ and are'} not judged." if unsure else ""
    beyond = [change for change in found if _mark(change) == "*"]
    if not beyond:
        return f"No difference beyond the runs' own spread, in {len(found)} figures.{rest}"
    cases = {change.case: [c.figure for c in beyond if c.case == change.case] for change in beyond}
    says = "; ".join(f"{case}: {', '.join(figures)}" for case, figures in cases.items())
    return f"Beyond the runs' own spread, {len(beyond)} of {len(found)} figures: {says}.{rest}"
