"""The clock of a trial, which stands still while the trial is stopped so that its baseline can be measured.

One process stops the trial's processes, and writes when it did so into memory that it shares with the trial. It writes
while the trial is stopped, so the trial never sees half of an entry.
"""

from __future__ import annotations

import mmap
import time
from bisect import bisect_right

MAX_PAUSES = 5000
_COUNT, _FIRST = 0, 1
"""Where the shared array of floats has the number of pauses, and the first pause."""
_BYTES = 8 * (_FIRST + 2 * MAX_PAUSES)


class Pauses:
    """When a trial was stopped, by ``perf_counter``, in memory that a forked process shares."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, _BYTES)
        self._array = memoryview(self._map).cast("d")

    def close(self) -> None:
        self._array.release()
        self._map.close()

    def __len__(self) -> int:
        return int(self._array[_COUNT])

    def __getitem__(self, number: int) -> tuple[float, float]:
        place = _FIRST + 2 * number
        return self._array[place], self._array[place + 1]

    def add(self, begin: float, end: float) -> None:
        """Add a pause. The trial's processes must be stopped, and :data:`MAX_PAUSES` not be reached."""
        place = _FIRST + 2 * len(self)
        self._array[place], self._array[place + 1] = begin, end
        self._array[_COUNT] += 1


class TrialClock:
    """Seconds by ``perf_counter``, less those for which the trial was stopped. It never goes back.

    The process that stops the trial reads its clock just before. What the trial reads between that moment and the stop counts,
    so a pause begins no earlier than the last moment for which this clock has been asked.
    """

    def __init__(self, pauses: Pauses | None = None) -> None:
        self._pauses = pauses
        self._ends: list[float] = []
        self._begins: list[float] = []
        self._passed: list[float] = [0.0]
        """The seconds of all pauses before the pause of that number."""
        self._latest = 0.0

    def now(self) -> float:
        """Return the time now."""
        return self.at(time.perf_counter())

    def at(self, moment: float) -> float:
        """Return what this clock showed at a ``moment`` by ``perf_counter``. A moment within a pause is its begin."""
        self._learn()
        self._latest = max(self._latest, moment)
        before = bisect_right(self._begins, moment)
        if before and moment < self._ends[before - 1]:
            return self._begins[before - 1] - self._passed[before - 1]
        return moment - self._passed[before]

    def _learn(self) -> None:
        """Read the pauses since the last call."""
        for number in range(len(self._ends), 0 if self._pauses is None else len(self._pauses)):
            assert self._pauses is not None  # noqa: S101
            begin, end = self._pauses[number]
            begin = max(begin, min(self._latest, end))
            self._begins.append(begin)
            self._ends.append(end)
            self._passed.append(self._passed[-1] + end - begin)
