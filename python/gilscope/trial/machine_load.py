"""How much CPU time other programs used: on a busy machine, a slow run says little about the code that ran."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class MachineLoad(NamedTuple):
    """Seconds since the machine started, summed over the cores that this process may use."""

    busy: float
    idle: float


def now() -> MachineLoad | None:
    """Return how the cores have spent their time; ``None`` if ``/proc/stat`` cannot be read."""
    try:
        return parsed(Path("/proc/stat").read_text(encoding="ascii"), os.sched_getaffinity(0))
    except OSError:
        return None


def parsed(stat: str, cores: set[int]) -> MachineLoad | None:
    """Parse the text of ``/proc/stat`` (proc(5)). Time stolen by other virtual machines counts as busy."""
    hertz = os.sysconf("SC_CLK_TCK")
    busy = idle = found = 0
    for line in stat.splitlines():
        name, *numbers = line.split()
        if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in cores:
            user, nice, system, idling, iowait, irq, softirq, steal = map(int, numbers[:8])
            busy += user + nice + system + irq + softirq + steal
            idle += idling + iowait
            found += 1
    return MachineLoad(busy / hertz, idle / hertz) if found else None


def shares(
    before: MachineLoad | None, after: MachineLoad | None, own: float | None
) -> tuple[float, float] | tuple[None, None]:
    """Return the shares of the cores' time that other programs used and that stayed idle; we used ``own`` seconds."""
    if before is None or after is None or own is None:
        return None, None
    busy, idle = after.busy - before.busy, after.idle - before.idle
    whole = busy + idle
    return (max(0.0, busy - own) / whole, idle / whole) if whole else (None, None)
