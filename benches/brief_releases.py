"""Compare the longest wait that a check reports with what a thread and an event loop really wait beside the same call.

``python benches/brief_releases.py`` prints a line for each callable that releases the GIL again and again, most of them too
briefly for anyone to acquire it; ``--beside 2`` runs CPU hogs meanwhile. How lucky a waiting thread is differs from call to
call, so each figure is the longest of several calls. Exit status 1 if a check says less than two thirds of both.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
from busy_processes import busy_processes

sys.path.insert(0, str(Path(__file__).parents[1]))
import gilscope
from gilscope.formatting import duration

from tests.support.brief import BRIEF, longest_lag_of_a_loop, longest_wait_of_a_thread

MAX_RATIO = 1.5
ONE_TURN_SECONDS = 0.007
"""Waits up to this are what code that yields causes: their ratio says nothing."""


@click.command()
@click.option("--rounds", default=3, show_default=True, help="Calls beside which a thread, and a loop, wait.")
@click.option("--beside", default=0, show_default=True, help="Run this many CPU hogs meanwhile.")
@click.option("--only", default="", help="Only callables whose name has this in it.")
def main(rounds: int, beside: int, only: str) -> None:
    wrong = 0
    click.echo(f"{sys.version.split()[0]}, {beside} hogs beside")
    with busy_processes(beside):
        for name, call in BRIEF.items():
            if only not in name:
                continue
            thread = max(longest_wait_of_a_thread(call) for _ in range(rounds))
            loop = max(longest_lag_of_a_loop(call) for _ in range(rounds))
            verdict = gilscope.check(call, time=1)
            found = verdict.longest_wait or 0.0
            least, most = min(thread, loop), max(thread, loop)
            good = (
                least / MAX_RATIO <= max(found, ONE_TURN_SECONDS) and found <= max(most, ONE_TURN_SECONDS) * MAX_RATIO
            )
            wrong += not good
            click.echo(
                f"{name:40} thread {duration(thread):>8} loop {duration(loop):>8} check {duration(found):>8} "
                f"{verdict.kind:9} {verdict.reason:15} {'' if good else 'off'}"
            )
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
