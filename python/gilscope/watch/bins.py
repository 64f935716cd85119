"""A watch in time, in bins of equal width."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from gilscope.records.timeline import Timeline, Track

if TYPE_CHECKING:
    from collections.abc import Sequence

    Hold = tuple[int, str | None, float, float]
    Lag = tuple[float, float]

BINS = 500
"""At most."""
NARROWEST = 0.02
"""Seconds. While a loop runs, a beat falls in every bin of two of the slowest beats' length."""
THREADS = 8
"""Kept apart, the longest holders; beyond them all are one."""
LAGS_KEPT, HOLDS_KEPT = 100_000, 200_000
"""How many the native core keeps."""


class Grid(NamedTuple):
    """Where the bins are."""

    begin: float
    width: float
    total: int

    def at(self, moment: float) -> int:
        """Return the number of the bin of ``moment``; what is before the first or after the last one belongs to these."""
        return max(0, min(int((moment - self.begin) / self.width), self.total - 1))

    def start(self, number: int) -> float:
        return self.begin + number * self.width


def binned(*, lags: Sequence[Lag], holds: Sequence[Hold], end: float) -> Timeline:
    """Return the time line of a watch that ended at ``end``: of its beats and of its holds, both in the order of time."""
    begin = max(
        lags[0][0] if len(lags) >= LAGS_KEPT else 0.0,
        holds[0][2] if len(holds) >= HOLDS_KEPT else 0.0,
    )
    # The last beat may have come after the last sample, which is where a watch ends.
    end = max([end, *(at for at, _ in lags[-1:]), *(to for *_, to in holds[-1:])])
    span = max(end - begin, NARROWEST)
    count = min(BINS, int(span / NARROWEST))
    grid = Grid(begin, span / count, count)
    return Timeline(begin=begin, width=grid.width, worst=_worst(lags, grid), held=_held(holds, grid))


def _worst(lags: Sequence[Lag], grid: Grid) -> tuple[float | None, ...]:
    """A loop whose beat was due and has not come is later every moment: it counts in every bin up to when it came."""
    worst: list[float | None] = [None] * grid.total
    for at, lag in lags:
        if at < grid.begin:
            continue
        number = grid.at(at)
        worst[number] = max(worst[number] or 0.0, lag)
        for earlier in range(grid.at(at - lag), number):
            so_far = grid.start(earlier + 1) - (at - lag)
            worst[earlier] = max(worst[earlier] or 0.0, so_far)
    return tuple(None if lag is None else round(lag, 6) for lag in worst)


def _held(holds: Sequence[Hold], grid: Grid) -> tuple[Track, ...]:
    lengths: dict[int, float] = {}
    names: dict[int, str | None] = {}
    for thread, name, start, end in holds:
        lengths[thread] = lengths.get(thread, 0.0) + end - start
        names[thread] = name
    apart = sorted(filter(None, lengths), key=lengths.__getitem__, reverse=True)[:THREADS]
    held = {thread: [0.0] * grid.total for thread in (*apart, 0)}
    for thread, _, start, end in holds:
        track = held.get(thread, held[0])
        for number in range(grid.at(start), grid.at(end) + 1):
            till = end if number == grid.total - 1 else min(end, grid.start(number + 1))
            track[number] += max(0.0, till - max(start, grid.start(number)))
    named = _told_apart({thread: thread_name(thread, names.get(thread)) for thread in held})
    return tuple(
        Track(named[thread], tuple(round(part, 6) for part in track)) for thread, track in held.items() if any(track)
    )


def thread_name(native_id: int, name: str | None) -> str:
    """Return what a thread is called; 0 stands for those that could not be told, or were too many."""
    if native_id == 0:
        return "other threads"
    return name or f"thread {native_id}"


def _told_apart(names: dict[int, str]) -> dict[int, str]:
    """Return ``names``, those that several threads have with the threads' ids."""
    often = Counter(names.values())
    return {thread: name if often[name] == 1 else f"{name} ({thread})" for thread, name in names.items()}
