"""Sums that only grow, as they were in the last minute: what was added in the last seconds."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

WINDOWS = (1, 10, 60)
"""Figures are shown over the last so many seconds."""
LONGEST_WINDOW = max(WINDOWS)
SLACK_SECONDS = 0.25
"""The model is updated once a second, and an update may come late or early by this much."""

K = TypeVar("K", bound="Hashable")


class Sums(Generic[K]):
    """The sums of several keys at each update of the last minute."""

    def __init__(self, begin: float = 0.0, sums: Mapping[K, float] | None = None) -> None:
        self._marks: deque[tuple[float, Mapping[K, float]]] = deque([(begin, sums or {})])

    def add(self, at: float, sums: Mapping[K, float]) -> None:
        """Add the sums at the moment ``at``."""
        self._marks.append((at, sums))
        while self._marks[1][0] <= at - LONGEST_WINDOW - SLACK_SECONDS:
            self._marks.popleft()

    def over(self, seconds: float) -> tuple[float, dict[K, float]]:
        """Return for how long there are figures, up to ``seconds``, and what was added to each sum in that time."""
        now, sums = self._marks[-1]
        begin, before = next(
            (mark for mark in reversed(self._marks) if mark[0] <= now - seconds + SLACK_SECONDS), self._marks[0]
        )
        # A sum is missing in a later mark if it was merged with others because there were too many.
        return now - begin, {key: max(0.0, total - before.get(key, 0.0)) for key, total in sums.items()}
