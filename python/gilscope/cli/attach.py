"""``gilscope attach``: report why the event loops of a running process stall, without restarting it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from gilscope.cli import RUN, BadInput, Pid, reader_may_go
from gilscope.cli.output import checked, save
from gilscope.formatting import counted, duration, listed
from gilscope.reports.files import live_formats
from gilscope.reports.quiet_process import in_a_line, is_quiet
from gilscope.reports.stderr import to_stderr

if TYPE_CHECKING:
    from gilscope.attach.family import Family


@click.command(short_help="Report why the event loops of a running process stall, and where.")
@click.argument("pid", type=Pid(), required=False)
@click.option(
    "--seconds",
    type=RUN,
    default="10",
    show_default=True,
    metavar="DURATION",
    help="Sample the process for this long. Ctrl-C ends it early, and reports.",
)
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the report to FILE as well, in the format of its suffix: .html, .json, .perfetto.json, .collapsed or "
    ".speedscope.json. Repeatable.",
)
@click.option("--children", is_flag=True, help="Sample the Python processes that the process has started, too.")
def command(pid: int | None, seconds: float, outputs: tuple[Path, ...], children: bool) -> None:
    """Sample the running Python process PID from outside, and report why its event loops stalled and which lines caused it.

    The process is neither stopped nor changed. Without a PID, list the Python processes that could be attached to.
    """
    if pid is None:
        if option := _first_option_given():
            raise BadInput(f"{option} needs the PID of a process: gilscope attach PID")
        with reader_may_go(sys.stdout):
            list_processes()
        return
    for output in outputs:
        checked(output, live_formats())
    from gilscope.attach.family import Family
    from gilscope.attach.processes import CannotAttach

    try:
        family = Family(pid, children=children, trace=bool(outputs))
    except CannotAttach as error:
        raise BadInput(str(error)) from None
    with family:
        if not children:
            to_stderr(_loops_of_children(family))
        to_stderr(f"{_attached(family)}; sampling for {duration(seconds)}, Ctrl-C ends it early\n")
        family.run(seconds, say=lambda sentence: to_stderr(f"{sentence}\n"))
    _report(family, outputs)


def _first_option_given() -> str | None:
    context = click.get_current_context()
    given = (
        it
        for it in context.command.params
        if context.get_parameter_source(it.name or "") is ParameterSource.COMMANDLINE
    )
    return next((it.opts[0] for it in given), None)


def list_processes() -> None:
    """Print the Python processes of this machine, those that can be attached to first."""
    from gilscope.attach.listing import lines
    from gilscope.attach.processes import python_processes

    for line in lines(python_processes()):
        click.echo(line)


def _attached(family: Family) -> str:
    """Say what is sampled."""
    first, *others = family.members
    count = first.attachment.loops
    loops = counted(count, "event loop") if count else "no event loop seen yet"
    also = (
        f", with {counted(len(others), 'child')}"
        if len(others) == 1
        else f", with {len(others)} children"
        if others
        else ""
    )
    return f"attached to PID {first.attachment.pid}: CPython {first.attachment.python}, {loops}{also}"


def _loops_of_children(family: Family) -> str:
    """Return a line on the children whose loops may be meant if the process itself runs none, as a server with workers; or nothing."""
    from gilscope.attach.processes import children_of

    if family.members[0].attachment.loops:
        return ""
    pids = [str(child.pid) for child in children_of(family.pid) if child.loops]
    if not pids:
        return ""
    who, whom = (
        (f"its child {pids[0]} does", "it") if len(pids) == 1 else (f"its children {listed(pids)} do", "one of them")
    )
    return f"process {family.pid} seems to run no event loop, but {who}: attach to {whom}, or add --children\n"


def _report(family: Family, outputs: tuple[Path, ...]) -> None:
    """Print a section for each process, the worst first, and write the files."""
    from gilscope.cli.show import put
    from gilscope.reports.terminal import TerminalReport

    reports = family.reports()
    quiet = [report for report in reports[1:] if is_quiet(report)]
    try:
        for number, report in enumerate(report for report in reports if report not in quiet):
            if number:
                click.echo()
            put(TerminalReport(report))
        if quiet:
            click.echo()
        for report in quiet:
            click.echo(in_a_line(report))
    finally:  # also if the reader of stdout has gone
        for report in reports if outputs else ():
            attached = family.attachment_of(report)
            files = [family.file_for(report, output) for output in outputs]
            formats = live_formats(pid=attached.pid, holds=attached.holds(0.0), lags=attached.lags(0.0))
            save(report, files, formats=formats)
