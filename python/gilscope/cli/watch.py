"""``gilscope watch``: run a program like python does, and report at exit why its event loops stalled."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gilscope.cli import RUN, THRESHOLD, BadInput, Duration
from gilscope.cli.last_option import LastOption
from gilscope.cli.output import checked
from gilscope.cli.programs import chosen
from gilscope.cli.watch_program import run_watched
from gilscope.durations import parse_threshold
from gilscope.naming import escaped
from gilscope.reports.files import live_formats
from gilscope.reports.lines import line
from gilscope.watch import arguments
from gilscope.watch.program import ProgramWatch
from gilscope.watch.updates import Program

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope._core import LogFile
    from gilscope.watch.arguments import OnHang


@click.command(
    context_settings={"allow_interspersed_args": False},
    short_help="Run a program and report why its event loops stalled, and where.",
)
@click.option(
    "-m", "module", cls=LastOption, metavar="MODULE", help="Run MODULE instead of SCRIPT, like python -m does."
)
@click.option(
    "--stall",
    type=THRESHOLD,
    default="50ms",
    show_default=True,
    help="Report a stall if an event loop is late by more than this.",
)
@click.option(
    "--sample",
    type=Duration(parse_threshold, least=0.0001),
    default="1ms",
    show_default=True,
    help="Sample the event loops and the holder of the GIL this often when it matters.",
)
@click.option(
    "--probe",
    type=THRESHOLD,
    default="50ms",
    show_default=True,
    help="Measure the wait for the GIL this often.",
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
@click.option("--live", is_flag=True, help="Print each stall on stderr while it lasts, and when it is over.")
@click.option(
    "--for",
    "seconds",
    type=RUN,
    metavar="DURATION",
    help="Report after this time and end the watch. The program runs on.",
)
@click.option(
    "--on-signal",
    "signal_name",
    type=click.Choice(["USR1", "USR2"]),
    help="Report also whenever the program receives this signal. The program runs on.",
)
@click.option(
    "--log",
    type=click.Path(),
    metavar="FILE",
    help='Append to FILE, or write to "stderr", a line of JSON for each stall while it lasts, and another one when it is over.',
)
@click.option(
    "--hang",
    type=RUN,
    metavar="DURATION",
    help="Print the stacks of all threads if an event loop gives no heartbeat for this long.",
)
@click.option(
    "--on-hang",
    type=click.Choice(["dump", "exit"]),
    help="Print the stacks only, or end the program with status 70 as well. Default: dump.",
)
@click.option(
    "--top",
    is_flag=True,
    help="Run the program as a child process, and show live what it does, as gilscope top. What the program prints goes to a "
    "file in the folder for temporary files, named at the start and at the end; its standard input is empty. If you quit the "
    "view, the program runs on.",
)
@click.argument("command_line", nargs=-1, type=click.UNPROCESSED, metavar="[SCRIPT] [ARGS]...")
@click.pass_context
def command(
    context: click.Context,
    module: str | None,
    stall: float,
    sample: float,
    probe: float,
    outputs: tuple[Path, ...],
    live: bool,
    seconds: float | None,
    signal_name: str | None,
    log: str | None,
    hang: float | None,
    on_hang: OnHang | None,
    top: bool,
    command_line: tuple[str, ...],
) -> Callable[[], None]:
    """Run SCRIPT like python does, and report at exit why its event loops stalled and which lines caused it.

    SCRIPT is a file, or a command of this environment such as uvicorn. The report goes to stderr, and the exit status is the program's own.
    """
    if top:
        from gilscope.cli.watch_top import top_of

        return top_of(context, module, command_line, stall=stall, sample=sample, outputs=outputs)
    run = chosen(module, command_line)
    named = (f"-m {module}" if module else None, *command_line)
    try:
        hang = arguments.hang(hang, stall=stall, name="--hang")
        on_hang = arguments.on_hang(on_hang, hang=hang, name="--on-hang", needs="--hang 30s")
    except ValueError as error:
        raise BadInput(f"{error}") from None
    for output in outputs:
        checked(output, live_formats())
    watch = ProgramWatch(
        stall=f"{stall}s",
        sample=f"{sample}s",
        probe=f"{probe}s",
        trace=bool(outputs),
        log=_checked(log),
        live=_stderr() if live else None,
        words=line if live else None,
        hang=None if hang is None else f"{hang}s",
        on_hang=on_hang if hang else None,
    )
    asked = Program(
        pid=os.getpid(),
        command=tuple(escaped(word) for word in named if word),
        stall=stall,
        # The program may change its working directory.
        outputs=tuple(os.fsencode(output.absolute()) for output in outputs),
        began=time.monotonic(),
        seconds=seconds,
        signal=getattr(signal, f"SIG{signal_name}") if signal_name else None,
    )
    return partial(run_watched, run, watch, asked)


def _stderr() -> LogFile | None:
    """Return the program's stderr; ``None`` if it is closed."""
    try:
        return arguments.log_file("stderr")
    except OSError:
        return None


def _checked(log: str | None) -> str | None:
    """Return ``log`` if it can be written. It is opened again for the watch."""
    try:
        arguments.log_file(log)
    except OSError as error:
        raise BadInput(f"--log: {error.strerror}") from None
    except ValueError as error:
        raise BadInput(f"--{error}") from None
    return log
