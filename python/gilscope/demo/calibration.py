"""How fast each kernel runs alone, so that every case's task can be made to last the same time on any machine."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROUND = 0.05
"""Seconds that one timed run should last: long against the clock's grain and the scheduler's."""
ROUNDS = 5


def rates(kernels: dict[str, Callable[[int], int]]) -> dict[str, float]:
    """Return the steps a second of each kernel: the median of some rounds, in which the kernels take turns.

    Taking turns spreads a change of the machine's speed over all of them.
    """
    counts = {name: _steps_for(kernel, ROUND) for name, kernel in kernels.items()}
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
    began = time.perf_counter()
    kernel(count)
    return time.perf_counter() - began


def main(asked: str, answered: str) -> None:
    import msgspec

    import gilscope
    from gilscope.isolated.supervise import die_with_parent

    die_with_parent()
    kernels = msgspec.json.decode(Path(asked).read_bytes(), type=dict[str, str])
    alone = rates({name: getattr(gilscope, function) for name, function in kernels.items()})
    Path(answered).write_bytes(msgspec.json.encode(alone))


if __name__ == "__main__":
    main(*sys.argv[1:])
