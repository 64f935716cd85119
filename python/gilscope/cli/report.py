"""``gilscope report``: a result again, from its JSON; or two, one against the other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gilscope import results
from gilscope.cli import BadInput
from gilscope.cli.output import checked, output, save
from gilscope.cli.show import compare, show
from gilscope.reports.files import WATCH_FORMATS

if TYPE_CHECKING:
    from gilscope.results import Result


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("other", required=False, type=click.Path(path_type=Path))
@output
def command(file: Path, other: Path | None, outputs: tuple[Path, ...]) -> None:
    """Print FILE again: the JSON of a result or of a watch.

    With OTHER, a run of the same cases after a change, print what differs case by case, and whether that is beyond the
    runs' own spread.
    """
    if other is not None and outputs:
        raise BadInput("-o takes one result: give FILE alone")
    if _kind(file) == "watch":
        if other is not None:
            raise BadInput(f"{file} is a watch, which is shown alone: give no other file")
        _show_watch(file, outputs)
    elif other is None:
        result = _read(file)
        show(result)
        save(result, outputs)
    else:
        compare(_read(file), _read(other))


def _kind(file: Path) -> str:
    try:
        return results.kind(file)
    except results.UnreadableError as error:
        raise BadInput(str(error)) from None


def _show_watch(file: Path, outputs: tuple[Path, ...]) -> None:
    from gilscope.cli.show import put
    from gilscope.reports.watch import Report
    from gilscope.snapshots import WatchReport

    for target in outputs:
        if target.name.lower().endswith(".perfetto.json"):
            raise BadInput(
                f"cannot write {target}: {file} does not keep every hold; only gilscope watch -o {target.name} has them all"
            )
        checked(target, WATCH_FORMATS)
    try:
        report = results.read_as(WatchReport, file)
    except results.UnreadableError as error:
        raise BadInput(str(error)) from None
    put(Report(report))
    save(report, outputs, formats=WATCH_FORMATS)


def _read(file: Path) -> Result:
    try:
        return results.read(file)
    except results.UnreadableError as error:
        raise BadInput(str(error)) from None
