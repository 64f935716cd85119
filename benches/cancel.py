"""Measures how long native work continues after it was cancelled or interrupted by Ctrl-C, in milliseconds.

Cancelling: the future of a running countdown on tokio is cancelled. The time ends when ``/proc`` shows that the thread no
longer runs. Reading ``/proc`` takes about 20 us, which the figure includes. The thread's CPU time until then is reported
too, because other programs on the machine do not lengthen it.

Ctrl-C: this process sends SIGINT to a child, which prints the time when the kernel on its main thread raised
``KeyboardInterrupt``. Both processes read the system's monotonic clock.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import click
from gilscope import countdown_tokio

if TYPE_CHECKING:
    from collections.abc import Iterable

FOR_EVER = 2**64 - 1
INTERRUPTED = dedent("""
    import sys, time
    import gilscope

    kernel = getattr(gilscope, "countdown_" + sys.argv[1])
    while True:
        print("ready", flush=True)
        try:
            kernel(10**13)
        except KeyboardInterrupt:
            print(time.monotonic_ns(), flush=True)
""")


def threads_of_tokio() -> list[Path]:
    names = Path("/proc/self/task").glob("*/comm")
    return [name.with_name("stat") for name in names if name.read_text().strip() == "gilscope-tokio"]


def is_at_work(thread: Path) -> bool:
    return thread.read_text().rsplit(")", 1)[1].split()[0] == "R"


def cpu_clock_of(thread: Path) -> int:
    return ~int(thread.parent.name) << 3 | 6  # how Linux derives the number of a thread's CPU clock from its id


async def continued_after_cancel(pause: float) -> tuple[float, float]:
    """Cancel a countdown after ``pause`` seconds; return for how long it continued, in wall-clock and in CPU time."""
    counting = countdown_tokio(FOR_EVER)
    await asyncio.sleep(pause)
    at_work: list[Path] = []
    while len(at_work) != 1:  # another thread may not be asleep yet
        await asyncio.sleep(0.001)
        at_work = list(filter(is_at_work, threads_of_tokio()))
    clock = cpu_clock_of(at_work[0])
    wall, cpu = time.perf_counter(), time.clock_gettime(clock)
    counting.cancel()
    await asyncio.sleep(0)  # runs the future's callbacks, which cancel the native work
    while is_at_work(at_work[0]):
        pass
    return time.perf_counter() - wall, time.clock_gettime(clock) - cpu


async def cancelled(times: int) -> list[tuple[float, float]]:
    await countdown_tokio(1)
    return [await continued_after_cancel(random.uniform(0.002, 0.004)) for _ in range(times)]


def interrupted(kernel: str, times: int) -> list[float]:
    seconds = []
    command = [sys.executable, "-c", INTERRUPTED, kernel]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None  # noqa: S101 - for the type checker
        for _ in range(times):
            child.stdout.readline()
            time.sleep(random.uniform(0.05, 0.15))  # anywhere in the 50 ms between two checks for signals
            start = time.monotonic_ns()
            os.kill(child.pid, signal.SIGINT)
            seconds.append((int(child.stdout.readline()) - start) / 1e9)
        child.kill()
    return seconds


def line(what: str, seconds: Iterable[float], target: str) -> str:
    ranked = sorted(1000 * value for value in seconds)
    p50, p99 = (ranked[math.ceil(q * len(ranked)) - 1] for q in (0.5, 0.99))
    return f"{what:34}{p50:9.3f}{p99:9.3f}{ranked[-1]:9.3f}  {target}"


@click.command()
@click.option("--times", default=200, show_default=True, type=click.IntRange(min=1))
def main(times: int) -> None:
    click.echo(f"Python {sys.version.split()[0]}, {times} measurements each, in ms\n")
    click.echo(f"{'':34}{'median':>9}{'p99':>9}{'max':>9}  target")
    wall, cpu = zip(*asyncio.run(cancelled(times)), strict=True)
    click.echo(line("cancel to end of native work", wall, "under 5, median under 0.2"))
    click.echo(line("CPU time of the work in between", cpu, "under 5, median under 0.2"))
    for kernel in ("held", "released"):
        click.echo(line(f"Ctrl-C to end of countdown_{kernel}", interrupted(kernel, times), "under 100"))


if __name__ == "__main__":
    main()
