"""Counts how processes that exit with native work in progress end: well, or with an abort, a hang, a wrong status or output.

``python benches/exit.py`` uses this Python. ``python benches/exit.py PYTHON...`` uses those Pythons, each of which needs
gilscope installed. The exit status is 1 if any process did not end well.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.support import endings


@click.command()
@click.option("--processes", default=200, show_default=True, help="Start this many processes for each way to end.")
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
