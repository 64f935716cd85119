"""Measures how much the knocker, at its default pace, slows down a pure-Python loop at the usual switch interval.

Rounds with and without the knocker alternate. Each is timed without its run-queue delay. The loss is the median ratio of two
consecutive rounds. Exits with status 1 if it is above 2 %.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from statistics import quantiles

import click
import gilscope
from gilscope._core import Knocker, monotonic, run_queue_delay
from gilscope.checks.phase import MEAN_GAP_SECONDS

MAX_LOSS = 0.02
STEPS = 10_000_000


def spin(knocker: contextlib.AbstractContextManager[object]) -> float:
    thread = threading.get_native_id()
    with knocker:
        queued, begin = run_queue_delay(thread) or 0.0, monotonic()
        gilscope.countdown_python(STEPS)
        return monotonic() - begin - ((run_queue_delay(thread) or 0.0) - queued)


@click.command()
@click.option("--rounds", default=20, show_default=True)
def main(rounds: int) -> None:
    ratios = []
    for _ in range(rounds):
        without = spin(contextlib.nullcontext())
        ratios.append(spin(Knocker(mean_gap=MEAN_GAP_SECONDS, watched=None, keep=0)) / without)
    lower, middle, upper = quantiles(ratios, n=4)
    loss = middle - 1
    click.echo(f"{sys.version.split()[0]}: {loss:+.1%} (quartiles of {rounds} ratios {lower:.3f} to {upper:.3f})")
    sys.exit(loss > MAX_LOSS)


if __name__ == "__main__":
    main()
