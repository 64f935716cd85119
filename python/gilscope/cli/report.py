"""``gilscope report``: a result again, from its JSON."""

from __future__ import annotations

from pathlib import Path

import click

from gilscope import results
from gilscope.cli import BadInput
from gilscope.cli.output import output, save
from gilscope.cli.show import show


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@output
def command(file: Path, outputs: tuple[Path, ...]) -> None:
    """Print the table and the findings of FILE, a result that was written as JSON."""
    try:
        result = results.read(file)
    except results.UnreadableError as error:
        raise BadInput(str(error)) from None
    show(result)
    save(result, outputs)
