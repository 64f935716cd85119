"""Runs a program that is watched, and gives the report when it ends: by a reporter process, or by itself if there is none."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gilscope._core import CallFirst, ReporterProcess, ends_process
from gilscope.records.ending import Ending, signal_name
from gilscope.reports.stderr import say
from gilscope.watch import run_script as program
from gilscope.watch.updates import EXEC, REPORTED

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.watch.program import ProgramWatch
    from gilscope.watch.updates import Program

REPORTER = "import sys; sys.path[:] = sys.argv[1:]; from gilscope.reports.watch_reporter import main; main()"
"""It finds the modules that this process finds, but none in the working directory or beside the script."""


def run_watched(run: Callable[[], None], watch: ProgramWatch, asked: Program) -> None:
    """Run the program, and report at its end."""
    end = ProgramEnd(watch, asked)
    # Registered before any function of the program, so called after all of them, when its threads have been joined.
    atexit.register(end.report_at_exit)
    watch.start_with_first_loop()
    atexit.unregister(watch.stop)  # `report_at_exit` stops it
    watch.tell()
    run()  # leaves this function by an exception, and only then begins


class ProgramEnd:
    """The report on a program when it ends."""

    def __init__(self, watch: ProgramWatch, asked: Program) -> None:
        self._watch = watch
        self._asked = asked
        self._writer: Any = None
        self._trace: Any = None
        self._has_reported = False
        self._gives = threading.RLock()
        watch.reporter = self._reporter = _reporter(asked)
        watch.end = inf if asked.seconds is None else asked.began + asked.seconds
        if self._reporter is None:
            self._load()
            watch.report_here, watch.end_here = self._report_here, self._end_here
            if asked.signal is not None:
                watch.listens_for_requests = True
                signal.signal(asked.signal, self._request)
        else:
            if asked.signal is not None:
                self._reporter.report_on(asked.signal)
            os.register_at_fork(after_in_child=self._reporter.close_in_child)
        _call_first(os, "execv", self._replace)
        _call_first(os, "execve", self._replace)
        _call_first(os, "_exit", self._exit)
        _call_first(os, "abort", self._abort)
        _call_first(os, "kill", self._kill)
        _call_first(os, "killpg", self._kill_group)
        _call_first(signal, "raise_signal", self._raise)

    def report(self, ending: Ending | None = None) -> None:
        """Give the report once. A forked child that leaves through ``atexit`` reports nothing."""
        if os.getpid() != self._asked.pid or self._has_reported:
            return
        if self._watch.ended_early:
            with self._gives:  # the watch's thread may be about to
                return
        self._has_reported = True
        with suppress(Exception):  # a watch that cannot be stopped still has its figures
            self._watch.stop()
        with suppress(Exception):
            sys.stderr.flush()
        seen = self._watch.snapshot()
        failed = program.uncaught() not in {None, KeyboardInterrupt}
        quiet = failed and not (seen.lags.count or seen.loop_runs or seen.unwatched_loops or seen.children)
        if not self._watch.finish(ending, quiet=quiet):
            self._report_here(ending, quiet=quiet)

    def report_at_exit(self) -> None:
        """Give the report after the program has run to its end. Without a watch no Ctrl-C would interrupt it any more."""
        handler = signal.getsignal(signal.SIGINT)
        with suppress(Exception):
            if callable(handler):
                signal.signal(signal.SIGINT, _do_nothing)
        self.report()
        with suppress(Exception):
            if callable(handler):
                signal.signal(signal.SIGINT, handler)
        program.interrupted_again()

    def _request(self, number: int, _: object) -> None:
        """Handle the signal that asks for a report, if there is no reporter process. It ends a forked child, as ever."""
        if os.getpid() != self._asked.pid:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        elif not self._watch.ended_early and not self._has_reported:
            self._watch.request()

    def _end_here(self) -> None:
        """End the watch while the program runs on, and give its report."""
        with self._gives:
            if not self._has_reported:
                self._watch.ended_early = True
                self._watch.stop()
                self._report_here(Ending(kind="runs"))

    def _report_here(self, ending: Ending | None, *, quiet: bool = False) -> None:
        """Give the report in this process, because there is no reporter process, or none that can be reached."""
        try:
            with self._gives:
                if self._writer is None:
                    self._load()
                if self._reporter is not None:
                    self._reporter.stage = REPORTED
                trace = self._trace(self._watch.holds(), self._watch.lags(), self._watch.time_tree())
                gil = getattr(sys, "_is_gil_enabled", lambda: True)()
                self._writer.give(self._watch.snapshot(), trace, gil=gil, ending=ending, quiet=quiet)
        except Exception as error:  # noqa: BLE001 - after chroot, for example, a module may not be found any more
            say(f"cannot report the last figures: {type(error).__name__}: {error}")

    def _load(self) -> None:
        from gilscope.reports.watch_writer import ReportWriter, Trace

        self._writer, self._trace = ReportWriter(self._asked), Trace

    # What follows is called before functions of the program's that end it without its exit handlers. The program waits for its
    # report: the end of process 1 of a container also ends the reporter process.

    def _exit(self, status: object = None) -> None:
        if isinstance(status, int):
            self._end(Ending(kind="exit", status=status & 0xFF))

    def _abort(self) -> None:
        self._end(Ending(kind="signal", signal="SIGABRT"))

    def _kill(self, pid: object = None, number: object = None) -> None:
        if pid in (self._asked.pid, 0, -os.getpgrp()):  # not a set: the program may pass anything
            self._raise(number)

    def _kill_group(self, group: object = None, number: object = None) -> None:
        if group in (0, os.getpgrp()):
            self._raise(number)

    def _raise(self, number: Any = None) -> None:
        with suppress(Exception):  # the function itself says what is wrong with its arguments
            if os.getpid() == self._asked.pid and ends_process(number):
                self._end(Ending(kind="signal", signal=signal_name(int(number))))

    def _end(self, ending: Ending) -> None:
        with suppress(Exception):
            self.report(ending)

    def _replace(self, *_: object) -> None:
        """Pass on what is known. The program runs on if it cannot be replaced."""
        if os.getpid() != self._asked.pid or self._watch.ended_early:
            return
        if self._reporter is None:
            self._report_here(Ending(kind="exec"))
        else:
            self._watch.flush()
            self._reporter.stage = EXEC


def _do_nothing(*_: object) -> None:
    """Handle a signal."""


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
    """Have ``first`` called before a function of a module, with the same arguments, also where it was defined."""
    function = getattr(owner, name)
    wrapped = CallFirst(function, first)
    for module in (owner, sys.modules[function.__module__]):
        setattr(module, name, wrapped)
