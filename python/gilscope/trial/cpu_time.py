"""The processor time of this process and of those that it started, and the time that they wanted one and had none."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

CPUCLOCK_SCHED = 2
"""The clock of a process's processor time: Linux, include/linux/posix-timers_types.h."""


@dataclass(frozen=True)
class Reading:
    """Seconds up to now; ``None`` for what this system does not tell."""

    used: float | None
    queued: float | None
    """Waiting in a run queue for a processor, which is other programs' doing, or that of too many threads."""

    def __sub__(self, earlier: Self) -> Reading:
        return Reading(_difference(self.used, earlier.used), _difference(self.queued, earlier.queued))


class Family:
    """The processes that a trial has now: this one and its descendants."""

    def __init__(self) -> None:
        self._pids = [os.getpid(), *descendants(os.getpid())]

    def read(self) -> Reading:
        """Return what all of them have used and waited for by now; ``None`` for either if one of them has gone."""
        try:
            used = sum(time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED) for pid in self._pids)
            return Reading(used, sum(map(_queued, self._pids)))
        except OSError:
            return Reading(None, None)


def descendants(pid: int) -> list[int]:
    """Return the processes that ``pid`` and its children started and that run now (Linux, with CONFIG_PROC_CHILDREN)."""
    children: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children += map(int, listing.read_text().split())
        except OSError:  # that thread has just ended
            continue
    return children + [deeper for child in children for deeper in descendants(child)]


def _queued(pid: int) -> float:
    """Return how long the threads of ``pid`` waited in run queues (Linux, Documentation/scheduler/sched-stats.rst)."""
    total = 0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total += int(file.read_text().split()[1])
        except FileNotFoundError:  # that thread has just ended
            continue
    return total / 1e9


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other
