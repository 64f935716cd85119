"""The CPU time of this process and its descendants, and how long they waited in run queues for a core."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Collection

CPUCLOCK_SCHED = 2
"""The clock of a process's CPU time: Linux, include/linux/posix-timers_types.h."""


@dataclass(frozen=True)
class CpuTime:
    """Seconds up to now; ``None`` if they cannot be read."""

    used: float | None
    queued: float | None
    """The run-queue delay: threads were runnable and had no core, because of other programs or of too many threads."""

    def __sub__(self, earlier: Self) -> CpuTime:
        return CpuTime(_difference(self.used, earlier.used), _difference(self.queued, earlier.queued))


class ProcessTree:
    """The current process and the descendants that it has when this object is made, but for the processes ``besides``."""

    def __init__(self, besides: Collection[int] = ()) -> None:
        self.pids = [pid for pid in (os.getpid(), *descendants(os.getpid())) if pid not in besides]

    def cpu_time(self) -> CpuTime:
        """Return the CPU time and the run-queue delay of all these processes; ``None`` if one of them has ended."""
        try:
            used = sum(map(used_by, self.pids))
            return CpuTime(used, sum(map(_queued, self.pids)))
        except OSError:
            return CpuTime(None, None)


def used_by(pid: int) -> float:
    """Return the CPU seconds that a process has used. Raise ``OSError`` if it has ended."""
    return time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)


def times(thread: Path) -> tuple[int, int, int]:
    """Return the CPU time and the run-queue delay of a thread in nanoseconds, and the core that it ran on last.

    Without ``schedstat`` (gVisor) the CPU time is in units of 10 ms, and the run-queue delay is 0.
    """
    # Field 3 of proc_pid_stat(5) is the first here: the second, a name in parentheses, may contain spaces.
    fields = (thread / "stat").read_text().rpartition(")")[2].split()
    core = int(fields[36])
    try:
        cpu, queued = map(int, (thread / "schedstat").read_text().split()[:2])
    except FileNotFoundError:
        cpu, queued = (int(fields[11]) + int(fields[12])) * 1_000_000_000 // os.sysconf("SC_CLK_TCK"), 0
    return cpu, queued, core


def descendants(pid: int) -> list[int]:
    """Return the running processes that ``pid`` and its children started (Linux, with CONFIG_PROC_CHILDREN)."""
    children: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children += map(int, listing.read_text().split())
        except OSError:  # the thread has just ended
            continue
    return children + [deeper for child in children for deeper in descendants(child)]


def _queued(pid: int) -> float:
    """Return how long the threads of ``pid`` waited in run queues (Linux, Documentation/scheduler/sched-stats.rst)."""
    total = 0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total += int(file.read_text().split()[1])
        except FileNotFoundError:  # the thread has just ended
            continue
    return total / 1e9


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other
