"""How many CPUs this process may use."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def cores() -> float:
    """Return how many CPUs this process may use at once: its affinity mask, limited by the quota of its cgroup.

    A quota may be a fraction: a container with ``--cpus 1.5`` has 1.5.
    """
    return min(float(len(os.sched_getaffinity(0))), cgroup_quota())


def cgroup_quota(root: Path = CGROUP_ROOT, own: Path = OWN_CGROUP) -> float:
    """Return the smallest CPU quota of this process's cgroup and those above it, in CPUs; infinity if none is set.

    Reads ``cpu.max`` of version 2 and ``cpu.cfs_quota_us`` of version 1 (Linux, Documentation/admin-guide/cgroup-v2.rst
    and scheduler/sched-bwc.rst).
    """
    quota = float("inf")
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return quota
    for line in lines:
        _, controllers, path = line.split(":", 2)
        top = root / controllers if controllers else root
        if controllers and "cpu" not in controllers.split(","):
            continue
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            quota = min(quota, _quota_of(folder))
            if folder == top:
                break
    return quota


def _quota_of(folder: Path) -> float:
    try:
        if (limit := folder / "cpu.max").exists():
            quota, period = limit.read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else float("inf")
    except (OSError, ValueError):  # no such file, or "max"
        return float("inf")
