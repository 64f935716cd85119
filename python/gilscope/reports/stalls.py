"""The ticks of a trial as a picture needs them: fewer bins, and the stretches in which the loop was late."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gilscope.records.result import Bins


class Stall(NamedTuple):
    """A stretch in which ticks were late: from when its first tick was due until the last of them was served.

    ``missed`` of the ``due`` ticks never came; ``worst`` is the worst lag.
    """

    begin: float
    end: float
    due: int
    missed: int
    worst: float


class Tick(NamedTuple):
    """The ticks of a bin, one or more, that were ``due`` from ``at`` on, and of which ``came`` at about ``served``."""

    at: float
    served: float
    lag: float
    due: int
    came: int


def coarser(bins: Bins, most: int) -> tuple[float, list[Tick]]:
    """Return the width and the ticks of ``bins`` in at most ``most`` bins; a wider one keeps the worst lag of its parts.

    Bins in which no tick was due are left out.
    """
    step = max(1, -(-len(bins.due) // most))
    width = bins.width * step
    ticks = []
    for first in range(0, len(bins.due), step):
        part = slice(first, first + step)
        due, worst = sum(bins.due[part]), max(bins.worst[part])
        if due:
            at = (first + bins.worst[part].index(worst)) * bins.width  # when the worst of them was due
            ticks.append(Tick(at, at + worst, worst, due, sum(bins.came[part])))
    return width, ticks


def stalls(ticks: list[Tick], over: float = 0.0) -> list[Stall]:
    """Return the stretches in which a tick was more than ``over`` seconds late. Those that overlap are one."""
    found: list[Stall] = []
    for tick in ticks:
        if tick.lag <= over:
            continue
        stall = Stall(tick.at, tick.served, tick.due, tick.due - tick.came, tick.lag)
        if found and stall.begin < found[-1].end:
            last = found.pop()
            stall = Stall(
                last.begin,
                max(last.end, stall.end),
                last.due + stall.due,
                last.missed + stall.missed,
                max(last.worst, stall.worst),
            )
        found.append(stall)
    return found
