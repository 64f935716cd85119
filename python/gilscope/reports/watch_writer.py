"""Gives the report of ``gilscope watch``, in whichever process that is done: prints it on stderr, and writes it to files."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gilscope._core import VERSION
from gilscope.records.machine import machine
from gilscope.records.watch_report import WatchReport
from gilscope.reports.console import put
from gilscope.reports.files import live_formats, prepare, write
from gilscope.reports.stderr import say
from gilscope.reports.watch import WatchOnTerminal
from gilscope.watch.bins import binned

if TYPE_CHECKING:
    from gilscope.records.ending import Ending
    from gilscope.records.loop_time import TimeTree
    from gilscope.records.watch_report import Snapshot
    from gilscope.watch.bins import Hold, LoopLag
    from gilscope.watch.updates import Program


class Trace(NamedTuple):
    """What a report has besides the sums of a watch: its latest holds and lags, one by one, and what the loops did."""

    holds: list[Hold]
    lags: list[LoopLag]
    time: TimeTree | None = None


class ReportWriter:
    """Everything that a report needs besides what the watch has seen.

    Make it early: later the program may have changed the root directory, the user or the modules.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        self._created = datetime.now(UTC).isoformat(timespec="seconds")
        self._machine = machine()
        self._outputs = [Path(os.fsdecode(output)) for output in program.outputs]
        for output in self._outputs:
            with suppress(Exception):  # reported when the file is written
                prepare(output, live_formats())

    def give(
        self, snapshot: Snapshot, trace: Trace, *, gil: bool, ending: Ending | None = None, quiet: bool = False
    ) -> None:
        """Print the report, and write it to the files. What fails is reported in one sentence, if there is still a stderr."""
        report = WatchReport(
            version=VERSION,
            created=self._created,
            machine=msgspec.structs.replace(self._machine, gil=gil),
            command=self._program.command,
            stall=self._program.stall,
            snapshot=snapshot,
            ending=ending,
            time=trace.time,
        )
        if not quiet:
            try:
                put(WatchOnTerminal(report), stderr=True)
            except Exception as error:  # noqa: BLE001 - the program may have closed stderr, or replaced modules
                say(f"cannot print the report: {_reason(error)}")
        for output in self._outputs:
            try:
                timeline = binned(lags=trace.lags, holds=trace.holds, end=snapshot.elapsed)
                formats = live_formats(pid=self._program.pid, holds=trace.holds, lags=trace.lags)
                write(msgspec.structs.replace(report, timeline=timeline), output, formats)
            except Exception as error:  # noqa: BLE001 - as above
                say(f"cannot write {output}: {_reason(error)}")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"
