"""Runs a program that is watched, and gives the report when it ends: by a reporter process, or by itself if there is none."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gilscope._core import CallFirst, ReporterProcess
from gilscope.watch import run_script as program
from gilscope.watch.updates import EXEC, REPORTED

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.watch.program import ProgramWatch
    from gilscope.watch.updates import Program

REPORTER = "import sys; sys.path[:] = sys.argv[1:]; from gilscope.cli.watch_reporter import main; main()"
"""It finds the modules that this process finds, but none in the working directory or beside the script."""


def run_watched(run: Callable[[], None], watch: ProgramWatch, asked: Program) -> None:
    """Run the program, and report at its end."""
    end = ProgramEnd(watch, asked)
    # Registered before any function of the program, so called after all of them, when its threads have been joined.
    atexit.register(end.report)
    watch.start_with_first_loop()
    run()  # leaves this function by an exception, and only then begins


class ProgramEnd:
    """The report on a program when it ends."""

    def __init__(self, watch: ProgramWatch, asked: Program) -> None:
        self._watch = watch
        self._asked = asked
        self._writer: Any = None
        watch.reporter = self._reporter = _reporter(asked)
        if self._reporter is None:
            self._load()
            if asked.seconds is not None or asked.signal is not None:
                _say(
                    "--for and --on-signal have no effect: the system does not let gilscope start a process that reports"
                )
            _call_first(os, "_exit", self._report_at_exit)
            return
        watch.end = inf if asked.seconds is None else asked.began + asked.seconds
        if asked.signal is not None:
            self._reporter.report_on(asked.signal)
        os.register_at_fork(after_in_child=self._reporter.close_in_child)
        _call_first(os, "_exit", self._flush)
        _call_first(os, "kill", self._flush_if_killed)
        _call_first(signal, "raise_signal", self._flush)
        _call_first(os, "execv", self._replaced)
        _call_first(os, "execve", self._replaced)

    def report(self) -> None:
        """Give the report once. A forked child that leaves through ``atexit`` reports nothing."""
        if os.getpid() != self._asked.pid or self._watch.ended_early:
            return
        with suppress(Exception):  # a watch that cannot be stopped still has its figures
            self._watch.stop()
        with suppress(Exception):
            sys.stderr.flush()
        seen = self._watch.snapshot()
        failed = program.uncaught() not in {None, KeyboardInterrupt}
        quiet = failed and not seen.lags.count and not seen.children
        if not self._watch.finish(quiet=quiet):
            self._report_here(quiet=quiet)
        program.interrupted_again()

    def _report_here(self, *, quiet: bool) -> None:
        """Give the report in this process, because there is no reporter process, or none any more."""
        if self._reporter is not None:
            self._reporter.stage = REPORTED
        try:
            if self._writer is None:
                self._load()
            from gilscope.cli.watch_report import Trace

            trace = Trace(self._watch.holds(), self._watch.lags())
            gil = getattr(sys, "_is_gil_enabled", lambda: True)()
            self._writer.give(self._watch.snapshot(), trace, gil=gil, quiet=quiet)
        except Exception as error:  # noqa: BLE001 - after chroot, for example, a module may not be found any more
            _say(f"cannot give the report: {type(error).__name__}: {error}")

    def _load(self) -> None:
        from gilscope.cli.watch_report import ReportWriter

        self._writer = ReportWriter(self._asked)

    def _report_at_exit(self, *_: object) -> None:
        with suppress(Exception):
            self.report()

    def _flush(self, *_: object) -> None:
        if os.getpid() == self._asked.pid:
            self._watch.flush()

    def _flush_if_killed(self, pid: object = None, *_: object) -> None:
        if pid == self._asked.pid:
            self._flush()

    def _replaced(self, *_: object) -> None:
        self._flush()
        if self._reporter is not None:
            self._reporter.stage = EXEC


def _say(sentence: str) -> None:
    with suppress(OSError, ValueError, AttributeError):
        print(f"gilscope: {sentence}", file=sys.stderr)


def _reporter(asked: Program) -> ReporterProcess | None:
    """Start the reporter process; ``None`` if the system does not let us."""
    if not sys.executable:
        return None
    argv = [sys.executable, "-I", "-c", REPORTER, *_path()]
    try:
        reporter = ReporterProcess([os.fsencode(argument) for argument in argv])
    except (OSError, RuntimeError):
        return None
    return reporter if reporter.send(msgspec.msgpack.encode(asked)) else None


def _path() -> list[str]:
    """Return this process's path without the working directory or the folder of the script. It leads to this gilscope."""
    folder = str(Path(__file__).parents[2])
    path = [entry for entry in sys.path[0 if sys.flags.safe_path else 1 :] if entry]
    first = next((entry for entry in path if (Path(entry) / "gilscope").is_dir()), None)
    return path if first == folder else [folder, *path]


def _call_first(owner: Any, name: str, first: Callable[..., object]) -> None:
    """Have ``first`` called before a function of a module, with the same arguments."""
    setattr(owner, name, CallFirst(getattr(owner, name), first))
