"""``gilscope watch``: run a program like python does, and report at exit why its event loops stalled."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from gilscope.cli import THRESHOLD, BadInput, Duration
from gilscope.cli.last_option import LastOption
from gilscope.cli.output import checked
from gilscope.durations import parse_threshold
from gilscope.naming import escaped
from gilscope.records.machine import machine
from gilscope.records.watch_report import WatchReport
from gilscope.reports.files import WATCH_FORMATS, Format, write
from gilscope.reports.lines import line
from gilscope.watch import run_script as program
from gilscope.watch.api import Watch
from gilscope.watch.bins import binned

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.stall import Stall


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
    help="Sample the event loops and the holder of the GIL this often.",
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
    help="Write the report to FILE as well, in the format of its suffix: .html, .json or .perfetto.json. Repeatable.",
)
@click.option("--live", is_flag=True, help="Print each stall on stderr as it happens.")
@click.argument("command_line", nargs=-1, type=click.UNPROCESSED, metavar="[SCRIPT] [ARGS]...")
def command(
    module: str | None,
    stall: float,
    sample: float,
    probe: float,
    outputs: tuple[Path, ...],
    live: bool,
    command_line: tuple[str, ...],
) -> Callable[[], None]:
    """Run SCRIPT like python does, and report at exit why its event loops stalled and which lines caused it.

    The report goes to stderr, and the exit status is the program's own.
    """
    run = _chosen(module, command_line)
    named = (f"-m {module}" if module else None, *command_line)
    watch = Watch(
        stall=f"{stall}s",
        sample=f"{sample}s",
        probe=f"{probe}s",
        on_stall=_print_stall if live else None,
        trace=bool(outputs),
    )
    for output in outputs:
        checked(output, _formats(watch))
    # The program may change its working directory.
    return partial(_watched, run, watch, tuple(filter(None, named)), [output.absolute() for output in outputs])


def _chosen(module: str | None, command_line: tuple[str, ...]) -> Callable[[], None]:
    if module:
        return partial(program.run_module, module, list(command_line))
    if not command_line:
        raise BadInput("nothing to run: give a SCRIPT, or -m MODULE")
    script, *arguments = command_line
    if not Path(script).exists():
        raise BadInput(f"cannot open {script}: it does not exist")
    return partial(program.run_script, script, arguments)


def _watched(run: Callable[[], None], watch: Watch, named: tuple[str, ...], outputs: list[Path]) -> None:
    summary = ExitSummary(watch, named, outputs)
    # Registered before any function of the program, so called after all of them, when its threads have been joined.
    atexit.register(summary.give)
    watch.start_with_first_loop()
    try:
        run()
    except KeyboardInterrupt:
        summary.interrupted = True
        raise


class ExitSummary:
    """The report on a program when it exits."""

    def __init__(self, watch: Watch, named: tuple[str, ...], outputs: list[Path]) -> None:
        self._watch = watch
        self._named = named
        self._outputs = outputs
        self._created = datetime.now(UTC).isoformat(timespec="seconds")
        self._pid = os.getpid()
        self.interrupted = False

    def give(self) -> None:
        """Print the report, and write it to the files. A forked child that leaves through ``atexit`` reports nothing."""
        if os.getpid() != self._pid:
            return
        self._watch.stop()
        report = self._report()
        # A program that has closed stderr, or whose reader has gone, still ends with its own exit status.
        with suppress(OSError, ValueError):
            _show(report)
        for output in self._outputs:
            with suppress(OSError, ValueError):
                _write(report, self._watch, output)
        if self.interrupted:
            program.interrupted_again()

    def _report(self) -> WatchReport:
        return WatchReport(
            version=version("gilscope"),
            created=self._created,
            machine=machine(),
            command=tuple(map(escaped, self._named)),
            stall=self._watch.stall,
            snapshot=self._watch.snapshot(),
        )


def _show(report: WatchReport) -> None:
    from gilscope.cli.show import put
    from gilscope.reports.terminal import TerminalReport

    put(TerminalReport(report), stderr=True)


def _formats(watch: Watch) -> dict[str, Format[WatchReport]]:
    """Return the formats for a watch that has just ended: its single beats and holds still exist, so also a trace."""
    return {".perfetto.json": Format(partial(_trace, watch)), **WATCH_FORMATS}


def _trace(watch: Watch, report: WatchReport) -> bytes:
    from gilscope.reports import watch_trace

    return watch_trace.trace(holds=watch.holds(), stalls=report.snapshot.worst, lags=watch.lags())


def _write(report: WatchReport, watch: Watch, output: Path) -> None:
    try:
        timeline = binned(lags=watch.lags(), holds=watch.holds(), end=report.snapshot.elapsed)
        write(msgspec.structs.replace(report, timeline=timeline), output, _formats(watch))
    except OSError as error:
        print(f"gilscope: cannot write {output}: {error.strerror}", file=sys.stderr)
    except Exception as error:  # noqa: BLE001 - the program may have replaced modules that draw the page
        print(f"gilscope: cannot write {output}: {type(error).__name__}: {error}", file=sys.stderr)


def _print_stall(stall: Stall) -> None:
    print(line(stall), file=sys.stderr, flush=True)
