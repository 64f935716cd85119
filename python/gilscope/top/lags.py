"""The lags of a loop in the last minute: quantiles over the last seconds, and the longest in each second."""

from __future__ import annotations

from collections import Counter, deque
from math import ceil, exp, log
from typing import TYPE_CHECKING, NamedTuple

from gilscope.top.sums import LONGEST_WINDOW, SLACK_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable

BUCKETS_PER_E = 50
"""A quantile is right to within 1 %."""
NO_LAG = -(10**9)
"""The bucket of a loop that slept."""
SECONDS_BETWEEN_LAGS = 0.01
MAX_MOMENTS_SO_FAR = 500
"""The quantiles of a turn that is not over take this many lags into account."""
SECONDS_KEPT = 240
"""The longest lag of each second is kept for this many seconds, for the chart of a wide terminal."""


class Quantiles(NamedTuple):
    """How late a loop was. ``None`` if no lag was counted."""

    p50: float | None
    p99: float | None
    max: float | None


class Counted(NamedTuple):
    """The lags that were counted between two updates."""

    at: float
    counts: Counter[int]
    longest: float


class Lags:
    """The lags of one loop."""

    def __init__(self) -> None:
        self._updates: deque[Counted] = deque()
        self._worst: dict[int, float] = {}
        self._late: tuple[float, float] | None = None

    def add(self, at: float, lags: Iterable[tuple[float, float]], late: float | None = None) -> None:
        """Add when lags were counted, and how long they were. ``late``: how late the loop is by now, if its turn is not over."""
        lengths = []
        for end, seconds in lags:
            lengths.append(seconds)
            self._mark(end, seconds)
        self._late = None if late is None else (at, late)
        if late is not None:
            self._mark(at, late)
        counts = Counter(map(_bucket, lengths))
        self._updates.append(Counted(at, counts, max(lengths, default=0.0)))
        while self._updates[0].at <= at - LONGEST_WINDOW - SLACK_SECONDS:
            self._updates.popleft()
        for second in [second for second in self._worst if second < at - SECONDS_KEPT]:
            del self._worst[second]

    def over(self, seconds: float) -> Quantiles:
        """Return the figures of the last ``seconds``. A turn that is not over counts with what it made late so far."""
        if not self._updates:
            return Quantiles(None, None, None)
        counts: Counter[int] = Counter()
        longest = 0.0
        if self._late is not None:
            longest = self._late[1]
            counts.update(_so_far(min(longest, seconds)))
        for update in self._updates:
            if update.at > self._updates[-1].at - seconds + SLACK_SECONDS:
                counts.update(update.counts)
                longest = max(longest, update.longest)
        p50, p99 = _quantiles(counts, longest, 0.5, 0.99)
        return Quantiles(p50, p99, longest if counts or longest else None)

    def longest_by_second(self, now: float, seconds: int) -> tuple[float | None, ...]:
        """Return the longest lag in each of the last ``seconds``, the oldest first; ``None`` where none was counted."""
        last = int(now)
        return tuple(self._worst.get(second) for second in range(last - seconds + 1, last + 1))

    def _mark(self, end: float, seconds: float) -> None:
        """Count a lag in every second in which the loop was late, as late as it was by then."""
        begin = end - seconds
        for second in range(max(int(begin), int(end) - SECONDS_KEPT), int(end) + 1):
            so_far = min(end, second + 1) - begin
            if so_far >= self._worst.get(second, 0.0):
                self._worst[second] = so_far


def _quantiles(counts: Counter[int], longest: float, *asked: float) -> list[float | None]:
    total = counts.total()
    found: list[float | None] = []
    ranked = sorted(counts.items())
    for q in asked:
        rank, below = max(1, ceil(q * total)), 0
        for bucket, count in ranked:
            below += count
            if below >= rank:
                found.append(0.0 if bucket == NO_LAG else min(exp(bucket / BUCKETS_PER_E), longest))
                break
        else:
            found.append(None)
    return found


def _bucket(seconds: float) -> int:
    return round(log(seconds) * BUCKETS_PER_E) if seconds > 0 else NO_LAG


def _so_far(seconds: float) -> dict[int, int]:
    """Return the lags of what became due in the last ``seconds``, and waits still: one for each 10 ms, in buckets."""
    moments = min(MAX_MOMENTS_SO_FAR, max(1, round(seconds / SECONDS_BETWEEN_LAGS)))
    weight = max(1, round(seconds / SECONDS_BETWEEN_LAGS / moments))
    so_far: Counter[int] = Counter()
    for moment in range(1, moments + 1):
        so_far[_bucket(seconds * moment / moments)] += weight
    return so_far
