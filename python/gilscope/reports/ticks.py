"""The ticks of a trial, prepared for a picture: merged into fewer bins, and the spans in which they were late."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gilscope.records.result import Bins


class LateSpan(NamedTuple):
    """A time span in which ticks were late: it begins when its first tick was due, and ends when the loop ran its last.

    ``missed`` of the ``due`` ticks were never run. ``worst`` is the largest lag. Times are in seconds.
    """

    begin: float
    end: float
    due: int
    missed: int
    worst: float


class Tick(NamedTuple):
    """The ticks of one bin, one or more. The one with the largest ``lag`` was due ``at``, and ``served`` at ``at + lag``.

    ``came`` of the ``due`` ticks were run. Times are in seconds.
    """

    at: float
    served: float
    lag: float
    due: int
    came: int


def merged(bins: Bins, max_bins: int) -> list[Tick]:
    """Return the ticks of ``bins``, merged into at most ``max_bins``. A merged bin keeps the largest lag.

    Bins in which no tick was due are left out.
    """
    step = max(1, -(-len(bins.due) // max_bins))
    ticks = []
    for first in range(0, len(bins.due), step):
        part = slice(first, first + step)
        due, worst = sum(bins.due[part]), max(bins.worst[part])
        if due:
            at = (first + bins.worst[part].index(worst)) * bins.width
            ticks.append(Tick(at, at + worst, worst, due, sum(bins.came[part])))
    return ticks


def late_spans(ticks: list[Tick], over: float = 0.0) -> list[LateSpan]:
    """Return the spans in which a tick was more than ``over`` seconds late. Spans that overlap are merged."""
    found: list[LateSpan] = []
    for tick in ticks:
        if tick.lag <= over:
            continue
        span = LateSpan(tick.at, tick.served, tick.due, tick.due - tick.came, tick.lag)
        if found and span.begin < found[-1].end:
            last = found.pop()
            span = LateSpan(
                last.begin,
                max(last.end, span.end),
                last.due + span.due,
                last.missed + span.missed,
                max(last.worst, span.worst),
            )
        found.append(span)
    return found
