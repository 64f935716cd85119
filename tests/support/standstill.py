"""Lets the machine stand still for some tenths of a second, again and again, to see which tests cannot bear that.

    python -m tests.support.standstill SECONDS

Shared machines do this now and then. Every core is taken at a real-time priority, which needs the right to do so.
"""

from __future__ import annotations

import os
import random
import sys
import time

SECONDS_BETWEEN = (2.0, 6.0)
SECONDS_STILL = (0.15, 0.35)
PRIORITY = 50


def take(core: int, begin: float, end: float) -> None:
    """Take one core; those of all processes with the same ``begin`` are taken at the same moments."""
    os.sched_setaffinity(0, {core})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    rng, at = random.Random(begin), begin
    while at < end:
        at += rng.uniform(*SECONDS_BETWEEN)
        until = at + rng.uniform(*SECONDS_STILL)
        time.sleep(max(0.0, at - time.monotonic()))
        while time.monotonic() < until:
            pass


def main() -> None:
    begin = time.monotonic()
    cores = sorted(os.sched_getaffinity(0))
    for core in cores:
        if os.fork() == 0:
            take(core, begin, begin + float(sys.argv[1]))
            os._exit(0)
    for _ in cores:
        os.wait()


if __name__ == "__main__":
    main()
