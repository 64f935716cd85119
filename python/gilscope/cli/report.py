"""``gilscope report``: show a saved result again, as text or as a picture, or compare two results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gilscope.cli import BadInput
from gilscope.cli.output import checked, save
from gilscope.cli.show import compare, compare_watches, put, show
from gilscope.records import read as reading
from gilscope.records.codec import UnreadableError
from gilscope.records.result import Result
from gilscope.reports.files import FORMATS, OF_TIME, WATCH_FORMATS
from gilscope.reports.terminal import TerminalReport

if TYPE_CHECKING:
    from gilscope.records.watch_report import WatchReport
    from gilscope.reports.files import Format

STDIN = Path("-")


ALL_FORMATS: dict[str, Format[Any]] = {**FORMATS, **WATCH_FORMATS}
"""Of every kind of result: which of them the one in the file has is known once the file is read."""


@click.command(short_help="Show a saved result again, or compare two of them.")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("other", required=False, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "outputs",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the result to FILE as well, in the format of its suffix: .html or .json; of a demo or a comparison also "
    ".svg, .png, .pdf or .perfetto.json; of watch or attach also .collapsed or .speedscope.json. Repeatable.",
)
def command(file: Path, other: Path | None, outputs: tuple[Path, ...]) -> None:
    """Print the result in FILE, a JSON file of demo, compare, watch or attach; - reads standard input.

    With OTHER, a run of the same cases after a change, print what differs in each case, and whether the difference is
    larger than the spread within each run. Of two watches, print which sites of stalls are gone, new, better or worse.
    """
    if other is not None and outputs:
        raise BadInput("-o writes one result: leave out OTHER")
    if file == other == STDIN:
        raise BadInput("standard input holds only one result: give a file for the other")
    for output in outputs:
        checked(output, ALL_FORMATS)
    result = _read(file)
    if other is not None:
        _compare(file, result, other, _read(other))
    elif isinstance(result, Result):
        for target in outputs:
            if _is_of_time(target):
                raise BadInput(f"cannot write {target}: {_name(file)} is not the report of a watch")
            checked(target, FORMATS)
        try:
            show(result)
        finally:  # also if the reader of stdout has gone
            save(result, outputs)
    else:
        _show_watch(file, result, outputs)


def _read(file: Path) -> Result | WatchReport:
    if file == STDIN and sys.stdin is None:
        raise BadInput(f"cannot read {_name(file)}: it is closed")
    try:
        return reading.result_of(sys.stdin.buffer.read(), _name(file)) if file == STDIN else reading.read(file)
    except UnreadableError as error:
        raise BadInput(str(error)) from None


def _name(file: Path) -> str:
    return "standard input" if file == STDIN else str(file)


def _compare(file: Path, before: Result | WatchReport, other: Path, after: Result | WatchReport) -> None:
    if isinstance(before, Result) and isinstance(after, Result):
        compare(before, after)
    elif isinstance(before, Result) or isinstance(after, Result):
        watch, run = (other, file) if isinstance(before, Result) else (file, other)
        raise BadInput(
            f"{_name(watch)} is the report of a watch and {_name(run)} is not: give two watches, or two runs of demo or compare"
        )
    else:
        compare_watches(before, after)


def _is_of_time(target: Path) -> bool:
    return target.name.lower().endswith(OF_TIME)


def _command_of(report: WatchReport) -> str:
    return "watch" if report.attached is None else "attach PID"


def _show_watch(file: Path, report: WatchReport, outputs: tuple[Path, ...]) -> None:
    for target in outputs:
        if target.name.lower().endswith(".perfetto.json"):
            raise BadInput(
                f"cannot write {target}: {_name(file)} does not have the single holds that a trace needs; write the trace "
                f"while the program runs, with gilscope {_command_of(report)} -o {target.name}"
            )
        if report.time is None and _is_of_time(target):
            raise BadInput(
                f"cannot write {target}: {_name(file)} does not say where the loops' time went, as files of older versions and "
                f"of dumps do not; watch the program again, with gilscope watch -o {target.name}"
            )
        checked(target, WATCH_FORMATS)
    try:
        put(TerminalReport(report))
    finally:
        save(report, outputs, formats=WATCH_FORMATS)
