"""``gilscope top``: look at a running process, second by second."""

from __future__ import annotations

import signal
import sys
from contextlib import nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING

import click

from gilscope.attach.api import Attachment
from gilscope.attach.processes import CannotAttach, children_of, version_of
from gilscope.cli import BadInput, Pid
from gilscope.reports.console import put
from gilscope.reports.terminal import TerminalReport
from gilscope.top.app import show

if TYPE_CHECKING:
    from gilscope.top.app import Why

STALL = 0.05
"""A loop whose turn is longer is stalled, as in ``gilscope attach``."""


@click.command(short_help="Show live what stalls the event loops of a running process.")
@click.argument("pid", type=Pid(), required=False)
def command(pid: int | None) -> int:
    """Show live what the process PID does.

    That is: how busy and how late its event loops are, which threads hold the GIL, and which lines stall the
    loops. The process is neither stopped nor changed.

    Keys: q quits, p pauses, r resets the figures, and the arrows choose a thread and show its stack. Without a terminal, one
    line is printed each second. At the end the report of gilscope attach is printed.
    """
    if pid is None:
        raise BadInput("give the PID of a process: gilscope attach lists those that can be shown")
    if sys.stdout is None:
        raise BadInput("stdout is closed, so nothing can be shown")
    try:
        version_of(pid, subcommand="top")
        attachment = Attachment(pid, stall=STALL)
        with attachment as live:
            why = show(live, threshold=STALL, children=partial(children_with_loops, pid))
            with suppress(OSError) if why == signal.SIGHUP else nullcontext():  # the terminal may be gone
                put(TerminalReport(live.report(live.command)))
    except CannotAttach as error:
        raise BadInput(str(error)) from None
    return status_of(why)


def children_with_loops(pid: int) -> list[int]:
    """Return the child processes that run event loops: those of a server that starts workers, for example."""
    return [child.pid for child in children_of(pid) if child.loops]


def status_of(why: Why) -> int:
    """Return the exit status: Ctrl-C is a way to quit, and any other signal ends this process as it usually does."""
    return 128 + why if isinstance(why, signal.Signals) and why != signal.SIGINT else 0
