"""The finding "saturated": a loop that was busy nearly all the time, though no single callback may have been a stall."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from gilscope.formatting import duration
from gilscope.records.remedies import REMEDY_OF_DOING
from gilscope.reports.utilization import WITHOUT_LINE, percent, said, uses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope.records.loop_time import LoopDoing
    from gilscope.records.watch_report import WatchReport
    from gilscope.reports.utilization import Use

MIN_BUSY_SHARE = 0.9
MIN_SECONDS = 10.0
LINES_SHOWN = 3
MIN_SHARE_OF_LINE = 0.01
"""Of the loop's time."""


class Saturated(NamedTuple):
    """A loop that was busy for more than 90 % of the time, for 10 s or longer."""

    claim: str
    lines: tuple[str, ...]
    """The lines that cost most."""
    remedy: str


def saturated(report: WatchReport) -> Iterator[Saturated]:
    """Yield the loops that were saturated."""
    for use in uses(report):
        if seconds := _seconds(use):
            lines = [cost for cost in use.costs if cost.doing not in WITHOUT_LINE]
            shown = [cost for cost in lines if cost.seconds >= MIN_SHARE_OF_LINE * use.total][:LINES_SHOWN]
            yield Saturated(
                claim=f"saturated: {use.name} over {percent(MIN_BUSY_SHARE)} busy for {duration(seconds)} of {duration(use.total)}",
                lines=tuple(f"{percent(cost.seconds / use.total)} {said(cost)}" for cost in shown),
                remedy=REMEDY_OF_DOING[_mostly(use)],
            )


def _seconds(use: Use) -> float:
    """Return for how long the loop was saturated; 0 if it was not."""
    whole = use.total if use.total >= MIN_SECONDS and use.share > MIN_BUSY_SHARE else 0.0
    return min(use.total, max(use.saturated, whole))


def _mostly(use: Use) -> LoopDoing:
    """Return what the loop spent most of its time on."""
    spent: dict[LoopDoing, float] = defaultdict(float)
    for cost in use.costs:
        spent[cost.doing] += cost.seconds
    return max(spent, key=spent.__getitem__, default="unknown")
