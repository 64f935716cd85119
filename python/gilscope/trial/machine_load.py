"""How much of the processors' time other programs took: a slow run on a busy machine says little about the code."""

from __future__ import annotations

import os
from typing import NamedTuple


class Used(NamedTuple):
    """Seconds since the machine started, over all processors that this process may use."""

    busy: float
    idle: float


def used() -> Used | None:
    """Return how the processors spent their time; ``None`` if ``/proc/stat`` cannot be read."""
    try:
        with open("/proc/stat", encoding="ascii") as lines:  # noqa: PTH123 - a stream of lines
            return read(lines.read(), os.sched_getaffinity(0))
    except OSError:
        return None


def read(stat: str, processors: set[int]) -> Used | None:
    """Read the text of ``/proc/stat`` (proc(5)); time stolen by other virtual machines counts as busy."""
    hertz = os.sysconf("SC_CLK_TCK")
    busy = idle = found = 0
    for line in stat.splitlines():
        name, *numbers = line.split()
        if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in processors:
            user, nice, system, idling, iowait, irq, softirq, steal = map(int, numbers[:8])
            busy += user + nice + system + irq + softirq + steal
            idle += idling + iowait
            found += 1
    return Used(busy / hertz, idle / hertz) if found else None


def shares(before: Used | None, after: Used | None, own: float | None) -> tuple[float, float] | tuple[None, None]:
    """Return the shares of the processors' time that others took, and that nobody took, where we took ``own`` seconds."""
    if before is None or after is None or own is None:
        return None, None
    busy, idle = after.busy - before.busy, after.idle - before.idle
    whole = busy + idle
    return (max(0.0, busy - own) / whole, idle / whole) if whole else (None, None)
