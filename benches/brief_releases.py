"""Compare the longest wait that a check reports with what a thread and an event loop really wait beside the same calls.

``python benches/brief_releases.py`` prints a line for each callable that releases the GIL again and again, most of them too
briefly for anyone to acquire it; ``--beside 2`` runs CPU hogs meanwhile. In a round the check, the thread and the loop see the
same number of calls, one after another. How lucky a waiting thread is differs from call to call, so each figure is the median
of the rounds. Exit status 1 if a check is off by more than a factor of 1.5.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import click
from busy_processes import busy_processes

sys.path.insert(0, str(Path(__file__).parents[1]))
import gilscope

from tests.support.brief import BRIEF, longest_lag_of_a_loop, longest_wait_of_a_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.brief import Longest

MAX_RATIO = 1.5
OWN, LEAST, ELAPSED = 0, 1, 2
"""Items of a longest wait. On a busy machine the truth lies between the first two; by the clock it is a matter of chance."""
ONE_TURN_SECONDS = 0.007
"""Waits up to this are what code that yields causes: their ratio says nothing."""


@click.command()
@click.option("--rounds", default=3, show_default=True, help="Checks of each callable.")
@click.option("--beside", default=0, show_default=True, help="Run this many CPU hogs meanwhile.")
@click.option("--only", default="", help="Only callables whose name has this in it.")
def main(rounds: int, beside: int, only: str) -> None:
    off = 0
    chosen = {name: call for name, call in BRIEF.items() if only in name}
    click.echo(f"{sys.version.split()[0]}, {beside} hogs beside; ms: median (least to most)")
    with busy_processes(beside):
        for name, call in chosen.items():
            verdicts, threads, loops = [], [], []
            for _ in range(rounds):
                verdicts.append(gilscope.check(call, time=1))
                threads.append(longest_wait_of_a_thread(call, verdicts[-1].real_calls))
                loops.append(longest_lag_of_a_loop(call, verdicts[-1].real_calls))
            found = [verdict.longest_wait or 0.0 for verdict in verdicts]
            elapsed = [verdict.longest_wait_elapsed or 0.0 for verdict in verdicts]
            ratio = _ratio(found, *([wait[of] for wait in waits] for waits in (threads, loops) for of in (OWN, LEAST)))
            wrong = not 1 / MAX_RATIO <= ratio <= MAX_RATIO
            off += wrong
            kinds = " ".join(dict.fromkeys(f"{verdict.kind} {verdict.reason}".strip() for verdict in verdicts))
            click.echo(
                f"{name:38} thread {_spread([wait.own for wait in threads])} loop {_spread([wait.own for wait in loops])} "
                f"check {_spread(found)} x{ratio:.2f}; {kinds}; by the clock thread {_median(threads, ELAPSED)} "
                f"loop {_median(loops, ELAPSED)} check {median(elapsed) * 1e3:.1f}"
                f"{' OFF' if wrong else ''}"
            )
    click.echo(f"{off} of {len(chosen)} off by more than a factor of {MAX_RATIO}")
    sys.exit(off > 0)


def _ratio(found: Sequence[float], *measured: Sequence[float]) -> float:
    """Return by how much the check is above the larger of what was measured, or below the smaller; 1 if it is between."""
    here, *others = (max(median(waits), ONE_TURN_SECONDS) for waits in (found, *measured))
    return here / max(min(here, max(others)), min(others))


def _median(waits: Sequence[Longest], of: int) -> str:
    return f"{median(wait[of] for wait in waits) * 1e3:.1f}"


def _spread(waits: Sequence[float]) -> str:
    return f"{median(waits) * 1e3:5.1f} ({min(waits) * 1e3:.1f} to {max(waits) * 1e3:.1f})"


if __name__ == "__main__":
    main()
