"""A watch over time, in bins of equal width."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from gilscope._core import BEATS_KEPT, HOLDS_KEPT
from gilscope.records.timeline import Timeline, Track

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_BINS = 500
MIN_SECONDS_PER_BIN = 0.02
"""Twice the longest time between two heartbeats, so that while a loop runs every bin has one."""
MAX_THREADS = 8
"""The longest holders have a track each; all others share one."""


class Hold(NamedTuple):
    """A stretch in which one thread held the GIL. Times are seconds since the watch began."""

    native_id: int
    name: str | None
    start: float
    end: float


class LoopLag(NamedTuple):
    """When a heartbeat came, in seconds since the watch began, and how late it was."""

    at: float
    lag: float


class Grid(NamedTuple):
    """The positions of the bins."""

    begin: float
    width: float
    total: int

    def at(self, moment: float) -> int:
        """Return the number of the bin of ``moment``; the first or last bin if it is outside of all."""
        return max(0, min(int((moment - self.begin) / self.width), self.total - 1))

    def start(self, number: int) -> float:
        return self.begin + number * self.width


def binned(*, lags: Sequence[LoopLag], holds: Sequence[Hold], end: float) -> Timeline:
    """Return the timeline of a watch that ended at ``end``. Both lists must be in order of time."""
    begin = max(
        lags[0].at if len(lags) >= BEATS_KEPT else 0.0,
        holds[0].start if len(holds) >= HOLDS_KEPT else 0.0,
    )
    # A watch ends at its last sample. The last beat may have come after that.
    end = max([end, *(lag.at for lag in lags[-1:]), *(hold.end for hold in holds[-1:])])
    span = max(end - begin, MIN_SECONDS_PER_BIN)
    count = min(MAX_BINS, int(span / MIN_SECONDS_PER_BIN))
    grid = Grid(begin, span / count, count)
    return Timeline(begin=begin, width=grid.width, worst=_worst(lags, grid), held=_held(holds, grid))


def _worst(lags: Sequence[LoopLag], grid: Grid) -> tuple[float | None, ...]:
    """Return the longest lag in each bin. A late beat counts in all bins from when it was due, as late as it was by then."""
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
    apart = sorted(filter(None, lengths), key=lengths.__getitem__, reverse=True)[:MAX_THREADS]
    held = {thread: [0.0] * grid.total for thread in (*apart, 0)}
    for thread, _, start, end in holds:
        track = held.get(thread, held[0])
        for number in range(grid.at(start), grid.at(end) + 1):
            till = end if number == grid.total - 1 else min(end, grid.start(number + 1))
            track[number] += max(0.0, till - max(start, grid.start(number)))
    named = distinct({thread: thread_name(thread, names.get(thread)) for thread in held})
    return tuple(
        Track(named[thread], tuple(round(part, 6) for part in track)) for thread, track in held.items() if any(track)
    )


def thread_name(native_id: int, name: str | None) -> str:
    """Return a thread's name. The id 0 is that of all threads that could not be identified, or were too many."""
    if native_id == 0:
        return "other threads"
    return name or f"thread {native_id}"


def distinct(names: dict[int, str]) -> dict[int, str]:
    """Return ``names``, with the thread's id added to each that several threads have."""
    often = Counter(names.values())
    return {thread: name if often[name] == 1 else f"{name} ({thread})" for thread, name in names.items()}
