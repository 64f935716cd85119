"""Counts how processes end that end with native work under way: well, or by an abort, a hang, a wrong status, words.

``python benches/exit.py`` tries this Python; ``python benches/exit.py PYTHON...`` those, each with gilscope installed.
Ends with status 1 if one process did not end well.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.support import endings


@click.command()
@click.option("--processes", default=200, show_default=True, help="For each ending.")
@click.argument("pythons", nargs=-1)
def main(processes: int, pythons: tuple[str, ...]) -> None:
    bad = 0
    for python in pythons or (sys.executable,):
        click.echo(python)
        for ending in endings.ENDINGS:
            tally = endings.tally(ending, processes=processes, python=python)
            bad += processes - tally[endings.WELL]
            click.echo(f"  {ending:40} " + ", ".join(f"{count} {how}" for how, count in tally.most_common()))
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
