"""The report of ``gilscope watch``: made, printed on stderr, and written to files, in whichever process that is done."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gilscope.records.machine import machine
from gilscope.records.watch_report import WatchReport
from gilscope.reports.files import PLOT, WATCH_FORMATS, Format, format_of, write
from gilscope.watch.bins import Hold, LoopLag, binned

if TYPE_CHECKING:
    from gilscope.records.ending import Ending
    from gilscope.records.watch_report import Snapshot
    from gilscope.watch.updates import Program

TRACE = ".perfetto.json"


class Trace:
    """The latest holds and lags of a watch, one by one."""

    def __init__(self, holds: list[Hold], lags: list[LoopLag]) -> None:
        self.holds = holds
        self.lags = lags


class ReportWriter:
    """Everything that a report needs besides what the watch has seen.

    Make it early: later the program may have changed the root directory, the user or the modules.
    """

    def __init__(self, program: Program) -> None:
        from importlib.metadata import version

        from gilscope.cli import show
        from gilscope.reports import watch_trace
        from gilscope.reports.terminal import TerminalReport

        self._show, self._terminal_report, self._trace = show.put, TerminalReport, watch_trace.trace
        self._program = program
        self._created = datetime.now(UTC).isoformat(timespec="seconds")
        self._version, self._machine = version("gilscope"), machine()
        self._outputs = [Path(os.fsdecode(output)) for output in program.outputs]
        if any(format_of(output, formats(None)).needs for output in self._outputs):
            with suppress(Exception):  # reported when the page is drawn
                __import__(PLOT[0])
                from gilscope.reports import watch_page  # noqa: F401 - for later

    def give(
        self, snapshot: Snapshot, trace: Trace, *, gil: bool, ending: Ending | None = None, quiet: bool = False
    ) -> None:
        """Print the report, and write it to the files. Whatever fails is told in one sentence, if there is still a stderr."""
        report = WatchReport(
            version=self._version,
            created=self._created,
            machine=msgspec.structs.replace(self._machine, gil=gil),
            command=self._program.command,
            stall=self._program.stall,
            snapshot=snapshot,
            ending=ending,
        )
        if not quiet:
            try:
                self._show(self._terminal_report(report), stderr=True)
            except Exception as error:  # noqa: BLE001 - the program may have closed stderr, or replaced modules
                say(f"cannot print the report: {_reason(error)}")
        for output in self._outputs:
            try:
                timeline = binned(lags=trace.lags, holds=trace.holds, end=snapshot.elapsed)
                write(msgspec.structs.replace(report, timeline=timeline), output, formats(trace, self._trace))
            except Exception as error:  # noqa: BLE001 - as above
                say(f"cannot write {output}: {_reason(error)}")


def formats(trace: Trace | None, encode: Any = None) -> dict[str, Format[WatchReport]]:
    """Return the formats for a watch whose single beats and holds still exist: also a trace."""
    return {TRACE: Format(partial(_encoded, trace, encode)), **WATCH_FORMATS}


def say(sentence: str) -> None:
    """Print a sentence of gilscope's on stderr, if that is possible."""
    with suppress(OSError, ValueError, AttributeError):
        print(f"gilscope: {sentence}", file=sys.stderr, flush=True)


def _encoded(trace: Any, encode: Any, report: WatchReport) -> bytes:
    encoded: bytes = encode(holds=trace.holds, stalls=report.snapshot.worst, lags=trace.lags)
    return encoded


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"
