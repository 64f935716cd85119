"""``gilscope report``: a result again, from its JSON."""

from __future__ import annotations

from pathlib import Path

import click

from gilscope import results
from gilscope.cli import BadInput
from gilscope.cli.show import show
from gilscope.snapshots import WatchReport


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def command(file: Path) -> None:
    """Print the table and the findings of FILE, a result that was written with --json."""
    try:
        if results.kind(file) == "watch":
            _show_watch(results.read_as(WatchReport, file))
        else:
            show(results.read(file))
    except results.UnreadableError as error:
        raise BadInput(str(error)) from None


def _show_watch(report: WatchReport) -> None:
    from rich.console import Console

    from gilscope.reports.stalls import Report

    Console(highlight=False).print(Report(report))
