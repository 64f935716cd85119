"""``gilscope watch --top``: run a program as a child process, and show it from outside."""

from __future__ import annotations

import sys
import time
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from gilscope.attach.api import Attachment
from gilscope.attach.processes import CannotAttach
from gilscope.cli import INTERRUPTED, BadInput, reader_may_go
from gilscope.cli.output import checked, save
from gilscope.cli.programs import child_command
from gilscope.cli.top import children_with_loops
from gilscope.formatting import listed
from gilscope.records.ending import signal_name
from gilscope.reports.console import put
from gilscope.reports.files import live_formats
from gilscope.reports.stderr import say, to_stderr
from gilscope.reports.terminal import TerminalReport
from gilscope.top.app import caught_signals, show
from gilscope.top.child import Child
from gilscope.watch.run_script import STDIN

if TYPE_CHECKING:
    from collections.abc import Callable

NOT_WITH_TOP = {
    "probe": "--probe",
    "live": "--live",
    "seconds": "--for",
    "signal_name": "--on-signal",
    "log": "--log",
    "hang": "--hang",
    "on_hang": "--on-hang",
}
"""Options of a watch inside of the program, by the names of their parameters."""
SECONDS_TO_START = 10.0
"""A Python that has just been started can be read after some milliseconds. After this many seconds, it cannot."""
SECONDS_BETWEEN_TRIES = 0.01
FINAL = {"rights", "filter", "32-bit", "version", "free-threaded"}
"""Why a process cannot be attached to, however long it runs. Other reasons may be those of a process that is starting or ending."""


class Run(NamedTuple):
    """What is to be run and shown."""

    argv: list[str]
    command: tuple[str, ...]
    """What the person typed."""
    stall: float
    sample: float
    outputs: tuple[Path, ...]


def top_of(
    context: click.Context,
    module: str | None,
    command_line: tuple[str, ...],
    *,
    stall: float,
    sample: float,
    outputs: tuple[Path, ...],
) -> Callable[[], None]:
    """Return a function that runs the program and shows it. Raises :class:`BadInput` if that is not possible."""
    given = [
        option
        for name, option in NOT_WITH_TOP.items()
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    ]
    if given:
        raise BadInput(
            f"--top does not combine with {listed(given)}: with --top the program is watched from outside, as gilscope "
            "attach does"
        )
    if command_line[:1] == (STDIN,) and not module:
        raise BadInput("--top cannot run a program from standard input: give a file")
    argv = child_command(module, command_line)
    for output in outputs:
        checked(output, live_formats())
    named = (f"-m {module}" if module else None, *command_line)
    run = Run(argv, tuple(word for word in named if word), stall, sample, tuple(file.absolute() for file in outputs))
    return lambda: sys.exit(_run(run))


def _run(run: Run) -> int:
    """Run the program. Return its exit status."""
    try:
        child = Child(run.argv, name=Path(run.command[0].removeprefix("-m ")).stem)
    except OSError as error:
        return _refuse(f"cannot run {' '.join(run.command)}: {error.strerror}")
    say(f"the program runs as process {child.pid}; its output goes to {child.output}")
    with caught_signals(child.pass_on):
        try:
            return _watched(run, child)
        except CannotAttach as error:
            child.end()
            return _refuse(f"the program was ended again, because gilscope cannot read it: {error.reason}")
        finally:
            if not child.ended:
                child.end()


def _watched(run: Run, child: Child) -> int:
    attachment = _attached(run, child)
    if attachment is None:
        say("the program ended before it could be read, so there is no report")
        return _ended(child)
    with attachment as live:
        _show(live, run, child)
        status = child.wait()
        report = live.report(run.command)
        formats = live_formats(pid=live.pid, holds=live.holds(0.0), lags=live.lags(0.0))
    with (
        suppress(OSError),
        reader_may_go(sys.stderr),
    ):  # the terminal may be gone, and the files are written all the same
        put(TerminalReport(report), stderr=True)
    _ended(child)
    try:
        save(report, run.outputs, formats=formats)
    except click.ClickException as error:
        to_stderr(f"Error: {error.message}\n")
    return status


def _attached(run: Run, child: Child) -> Attachment | None:
    """Attach to the program once its Python has started; ``None`` if the program has ended by then."""
    last_try = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            return Attachment(child.pid, stall=run.stall, sample=run.sample, trace=bool(run.outputs))
        except CannotAttach as error:
            if child.ended:
                return None
            if error.code in FINAL or time.monotonic() > last_try:
                raise
        time.sleep(SECONDS_BETWEEN_TRIES)


def _show(live: Attachment, run: Run, child: Child) -> None:
    """Show the program until it ends, or until someone quits. Then it runs on: its work is not lost."""
    try:
        with suppress(OSError), reader_may_go(sys.stdout):
            show(
                live,
                threshold=run.stall,
                command=run.command,
                output=str(child.output),
                pass_on=child.pass_on,
                children=partial(children_with_loops, child.pid),
            )
    except Exception:  # noqa: BLE001 - what fails is the view, and not the program
        to_stderr(traceback.format_exc())
        say("the view has failed, which is a bug in gilscope: please report it")
    if not child.ended:
        say(f"the view is closed, and the program runs on as process {child.pid}. Ctrl-C ends it.")


def _ended(child: Child) -> int:
    """Report how the program ended and where its output is; after a failure that is not Ctrl-C, also the end of the output."""
    status = child.wait()
    how = f"was ended by {signal_name(status - 128)}" if status > 128 else f"ended with exit status {status}"
    failed = status not in (0, INTERRUPTED)
    say(f"the program {how}; its output is in {child.output}" + (", and ends so:" if failed else ""))
    if failed:
        to_stderr("".join(f"    {line}\n" for line in child.last_lines()))
    return status


def _refuse(sentence: str) -> int:
    to_stderr(f"Error: {sentence}\n")
    return BadInput.exit_code
