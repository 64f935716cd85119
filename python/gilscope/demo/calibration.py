"""How fast each kernel runs alone, so that every case's task can be made to take the same time on any machine."""

from __future__ import annotations

import statistics
import time
from pkgutil import resolve_name
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROUND_SECONDS = 0.05
"""How long one timed call should take: long compared with the clock's resolution and with a scheduler's time slice."""
ROUNDS = 5


def rates_of(kernels: dict[str, str]) -> dict[str, float]:
    """Return the steps a second of each kernel, given by the name of its function in gilscope."""
    return rates({name: resolve_name(f"gilscope:{function}") for name, function in kernels.items()})


def rates(kernels: dict[str, Callable[[int], int]]) -> dict[str, float]:
    """Return the steps a second of each kernel: the median of several rounds, in which the kernels take turns.

    Taking turns spreads a change of the machine's speed over all kernels.
    """
    counts = {name: _steps_for(kernel, ROUND_SECONDS) for name, kernel in kernels.items()}
    measured: dict[str, list[float]] = {name: [] for name in kernels}
    for _ in range(ROUNDS):
        for name, kernel in kernels.items():
            measured[name].append(counts[name] / _seconds(kernel, counts[name]))
    return {name: statistics.median(of_kernel) for name, of_kernel in measured.items()}


def _steps_for(kernel: Callable[[int], int], seconds: float) -> int:
    """Return the count with which ``kernel`` runs for about ``seconds``."""
    count = 1000
    while (took := _seconds(kernel, count)) < seconds / 5:
        count *= 4
    return max(1, int(count * seconds / took))


def _seconds(kernel: Callable[[int], int], count: int) -> float:
    began = time.thread_time()  # other programs do not change it
    kernel(count)
    return time.thread_time() - began
