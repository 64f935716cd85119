"""Two watches side by side, for a terminal: the lag, the GIL, and the sites that are gone, new, better or worse."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gilscope.formatting import counted, duration, listed
from gilscope.naming import place_of
from gilscope.reports.watch import INDENT, in_lines, unbroken
from gilscope.reports.watch_figures import heading
from gilscope.watch.two_watches import site_changes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from gilscope.records.watch_report import Snapshot, WatchReport
    from gilscope.watch.two_watches import Rate, SiteChange, Trend

MAX_SITES = 10
STYLES: dict[Trend, str] = {"gone": "green", "better": "green", "new": "red", "worse": "red", "same": ""}
LEGEND = (
    "ratio: after/before. Stalled time is per second of watched time, so compare watches under the same load. A change marked ? "
    "may be chance: too few stalls."
)


class WatchDifference:
    """Two watches, ``before`` and ``after`` a change, for rich to print."""

    def __init__(self, before: WatchReport, after: WatchReport) -> None:
        self._before = before
        self._after = after

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        before, after = self._before, self._after
        for name, report in (("before", before), ("after", after)):
            yield unbroken(f"{name}: {heading(report)}", style="bold")
            yield Text(f"        {_where(report)}", style="dim")
        yield from (Text(f"Caution: {line}", style="yellow") for line in cautions(before, after))
        yield ""
        yield _figures(before, after)
        yield Text(LEGEND, style="dim")
        yield from _sites(site_changes(before.snapshot, after.snapshot), options.max_width)


def _where(report: WatchReport) -> str:
    machine = report.machine
    return f"{machine.implementation} {machine.python}, {machine.cores:g} cores; {report.created}"


def cautions(before: WatchReport, after: WatchReport) -> Iterator[str]:
    """Yield what differs between the two watches besides the program, and what limits them."""
    if before.stall != after.stall:
        yield (
            f"the thresholds differ: stalls over {duration(before.stall)} before, over {duration(after.stall)} after. "
            "A site may be gone or new for that reason alone"
        )
    if (before.attached is None) != (after.attached is None):
        yield f"the lag {'after' if before.attached is None else 'before'} was seen from outside, by turns of the loops"
    if before.command != after.command:
        yield f"the commands differ: {' '.join(before.command)} before, {' '.join(after.command)} after"
    names = before.machine.__struct_fields__
    if different := [name for name in names if getattr(before.machine, name) != getattr(after.machine, name)]:
        yield f"the machines differ in their {listed(different)}"
    for name, report in (("before", before), ("after", after)):
        if not report.snapshot.lags.count:
            yield f"no event loop was measured {name}"
        if report.snapshot.lost:
            yield f"{counted(report.snapshot.lost, 'stall')} {name} came too fast to be recorded one by one"


def _figures(one: WatchReport, other: WatchReport) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for name in ("before", "after", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    before, after = one.snapshot, other.snapshot
    if before.loops or after.loops:
        _row(table, "loop busy per second", _busy(before), _busy(after))
    for name in ("p50", "p90", "p99", "max"):
        _row(table, f"loop lag {name}", getattr(before.lags, name), getattr(after.lags, name))
    for name in ("p50", "p99", "max"):
        _row(table, f"wait for the GIL {name}", getattr(before.waits, name), getattr(after.waits, name))
    stalled, shares = zip(*(_of_a_second(seen) for seen in (before, after)), strict=True)
    _row(table, "GIL held per second", *shares)
    _row(table, "stalled per second", *stalled)
    return table


def _busy(seen: Snapshot) -> float | None:
    """Return for how long a loop was busy in a mean second of its time, where that is known."""
    busy = sum(loop.busy for loop in seen.loops)
    total = busy + sum(loop.asleep for loop in seen.loops)
    return busy / total if total else None


def _of_a_second(seen: Snapshot) -> tuple[float | None, float | None]:
    """Return for how long the loops were stalled and the GIL was held in a mean second, where that is known."""
    if not seen.elapsed:
        return None, None
    return sum(seen.stalled.values()) / seen.elapsed, None if seen.held is None else seen.held / seen.elapsed


def _row(table: Table, name: str, before: float | None, after: float | None) -> None:
    ratio = "-" if before is None or after is None or not before else f"{after / before:.3g}"
    table.add_row(name, *("-" if value is None else duration(value) for value in (before, after)), ratio)


def _sites(changes: list[SiteChange], width: int) -> Iterator[RenderableType]:
    yield ""
    if not changes:
        yield Text("No stall in either watch.", style="green")
        return
    yield Text(summary(changes), style="bold")
    changed = [change for change in changes if change.trend != "same"]
    for change in changed[:MAX_SITES]:
        yield ""
        mark = "" if change.certain else " ?"
        yield Text(f"{change.trend}{mark}: {change.cause}", style=f"bold {STYLES[change.trend]}".strip())
        place = f"at {place_of(change.culprit)}" if change.culprit else "the line was not sampled"
        yield from map(unbroken, in_lines(place, width))
        if change.moved_from is not None:
            yield unbroken(f"{INDENT}(it was line {change.moved_from})")
        yield Padding(Text(f"{_rate(change.before)} -> {_rate(change.after)}"), (0, 0, 0, len(INDENT)))
    if rest := changed[MAX_SITES:]:
        yield Text(f"and {counted(len(rest), 'smaller change')}")


def summary(changes: list[SiteChange]) -> str:
    """Return how many sites are gone, new, better, worse and the same, and how many of these changes may be chance."""
    counts = Counter(change.trend for change in changes)
    order: tuple[Trend, ...] = ("gone", "new", "better", "worse", "same")
    chance = sum(change.trend != "same" and not change.certain for change in changes)
    return (
        f"{counted(len(changes), 'site')} of stalls: {listed([f'{counts[it]} {it}' for it in order if counts[it]])}"
        + (f"; {counted(chance, 'change')} may be chance" if chance else "")
    )


def _rate(rate: Rate) -> str:
    if not rate.stalls:
        return "none"
    longest = f", longest {duration(rate.longest)}" if rate.stalls > 1 else ""
    return f"{duration(rate.per_second)} per second ({counted(rate.stalls, 'stall')}{longest})"
