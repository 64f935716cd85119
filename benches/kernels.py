"""Compares the speed of the kernels with each other and with the processor's clock, in one run on this machine.

A chain of dependent additions, one per clock cycle (``_Testing.add_chain``), measures the clock. Each round measures all
kernels one after another, so that the ratios of one round were measured under the same conditions. Rates are per second
of CPU time, which other programs do not change. How much more two threads do than one is measured in wall-clock time, and
needs two free cores.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import click
from gilscope import countdown_cooperative, countdown_held, countdown_python, countdown_released, countdown_tokio
from gilscope._core import _Testing

if TYPE_CHECKING:
    from collections.abc import Callable


def on_tokio(n: int) -> int:
    async def counted() -> int:
        return await countdown_tokio(n)

    return asyncio.run(counted())


def cooperatively(n: int) -> int:
    return asyncio.run(countdown_cooperative(n))


KERNELS: dict[str, tuple[Callable[[int], int], int]] = {  # each with a count that takes some tens of milliseconds
    "clock": (_Testing.add_chain, 200_000_000),
    "python": (countdown_python, 3_000_000),
    "cooperative": (cooperatively, 2_000_000),
    "held": (countdown_held, 200_000_000),
    "released": (countdown_released, 200_000_000),
    "tokio": (on_tokio, 200_000_000),
}
PAIRS = {"python": "at most 1.1", "held": "at most 1.1", "released": "at least 1.9, on 2 free cores"}


def rate(name: str) -> float:
    """Return a kernel's iterations per second of CPU time of all threads."""
    kernel, n = KERNELS[name]
    start = process_time()
    kernel(n)
    return n / (process_time() - start)


def two_against_one(pool: ThreadPoolExecutor, name: str) -> float:
    """Return how many times the work of one task two tasks in two threads do in the same time."""
    kernel, n = KERNELS[name]
    counts = [3 * n, 3 * n]  # long enough that waking a thread takes a negligible part
    start = perf_counter()
    list(pool.map(kernel, counts[:1]))
    between = perf_counter()
    list(pool.map(kernel, counts))
    return 2 * (between - start) / (perf_counter() - between)


def spread(values: list[float], digits: int) -> str:
    low, median, high = statistics.quantiles(values, n=4)
    return f"{median:8.{digits}f}  ({low:.{digits}f} to {high:.{digits}f})"


@click.command()
@click.option("--rounds", default=21, show_default=True, type=click.IntRange(min=2))
def main(rounds: int) -> None:
    click.echo(f"Python {sys.version.split()[0]}, {rounds} rounds, {len(os.sched_getaffinity(0))} cores to run on")
    click.echo("medians (and quartiles) of the rounds\n")
    measured = [{name: rate(name) for name in KERNELS} for _ in range(rounds)]
    click.echo(f"{'kernel':12}{'million iterations/s CPU':>26}{'/ python':>26}{'/ clock':>28}")
    for name in KERNELS:
        speed = spread([rates[name] / 1e6 for rates in measured], 1)
        to_python = spread([rates[name] / rates["python"] for rates in measured], 2)
        to_clock = spread([rates[name] / rates["clock"] for rates in measured], 3)
        click.echo(f"{name:12}{speed:>26}{to_python:>26}{to_clock:>28}")
    click.echo(f"\n{'work of 2 tasks in 2 threads / work of 1 task':50}  target")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(countdown_released, [100_000_000] * 2))  # starts both threads before the measurement
        ratios = {name: [two_against_one(pool, name) for _ in range(rounds)] for name in PAIRS}
    for name, target in PAIRS.items():
        click.echo(f"{'thread/' + name:18}{spread(ratios[name], 2):32}  {target}")


if __name__ == "__main__":
    main()
