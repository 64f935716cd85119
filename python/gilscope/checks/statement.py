"""Check a statement in a process of its own, so that nothing that it does affects the parent."""

from __future__ import annotations

import tempfile
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from gilscope.checks.shares import LONG_HOLD_SECONDS
from gilscope.checks.statement_child import SETUP, STATEMENT, StatementAnswer, StatementRequest
from gilscope.checks.statement_hints import does_nothing
from gilscope.checks.wait_file import NoAnswerExpected, WaitFile
from gilscope.isolated.protocol import ask
from gilscope.naming import quoted
from gilscope.records.machine import machine
from gilscope.records.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.failed_check import Failure

ANSWER_GRACE_SECONDS = 20.0
"""After the timeout, how long a child that still gets the GIL may take to answer for a statement that did not end."""
MAX_CPU_OF_A_DEADLOCK = 0.05
"""A call that does not end while it holds the GIL, and computes for less of the time than this, waits for something."""


class StatementError(Exception):
    """The statement or its setup failed; the text has the user's own traceback, or what ended the process."""

    def __init__(self, text: str, failure: Failure = "raised") -> None:
        super().__init__(text)
        self.failure: Failure = failure

    @property
    def reason(self) -> str:
        """The error on one line: what follows the lines of a traceback."""
        lines = str(self).splitlines()
        last = max((place for place, line in enumerate(lines) if line.startswith(" ")), default=-1)
        return " ".join(line for line in lines[last + 1 :] if line)


def _failed(statement: str, shown: str) -> StatementError:
    return StatementError(f"{quoted(statement.strip())} cannot be run:\n{shown.rstrip()}")


def _too_early(name: str, timeout: float) -> StatementError:
    said = f"{name} could not be judged within {timeout:g} s: raise --timeout. The setup left no time for a call."
    return StatementError(said, "timed out")


def must_be_python(statement: str, *, setup: str) -> None:
    """Raise :class:`StatementError` if the setup or the statement has a syntax error, or calls nothing. Runs neither."""
    if complaint := does_nothing(statement):
        raise StatementError(complaint)
    for source, name in ((setup, SETUP), (statement, STATEMENT)):
        # What else the compiler raises or warns of is for the process that runs the code to report.
        with warnings.catch_warnings(), suppress(ValueError, MemoryError, RecursionError):
            warnings.simplefilter("ignore")
            try:
                compile(source, name, "exec", dont_inherit=True)
            except SyntaxError as error:
                raise _failed(statement, "".join(traceback.format_exception_only(error))) from None


def check_statement(
    statement: str, *, setup: str, time: float, timeout: float, say: Callable[[str], object] | None = None
) -> Verdict:
    """Return the verdict on ``statement``. A statement that hogs for longer than ``timeout`` is ended and judged.

    ``say`` is called with what the statement printed. Raises :class:`StatementError`.
    """
    name = quoted(statement.strip())
    with tempfile.TemporaryDirectory(prefix="gilscope-") as folder:
        file, so_far = Path(folder, "waiting"), Path(folder, "so-far")
        file.touch()
        waiting = WaitFile(file, timeout, so_far)
        request = StatementRequest(
            setup=setup,
            statement=statement,
            time=time,
            deadline=monotonic() + timeout,
            wait_file=str(file),
            so_far_file=str(so_far),
        )
        try:
            outcome = ask(
                "gilscope.checks.statement_child:run",
                request,
                StatementAnswer,
                timeout=timeout + ANSWER_GRACE_SECONDS,
                waiting=waiting,
            )
        except NoAnswerExpected as no_answer:
            if no_answer.waited is None:
                said = f"the setup was still running after {timeout:g} s: raise --timeout"
                raise StatementError(said, "timed out") from None
            return _endless(statement, no_answer.waited, no_answer.cpu, so_far)
        report = waiting.report()
        if outcome.status == "timed out" and report is not None and report.waited > LONG_HOLD_SECONDS:
            return _endless(statement, report.waited, waiting.cpu_share(report), so_far)
    if say is not None and outcome.output:
        say(outcome.output)
    if outcome.status == "timed out":
        raise _too_early(name, timeout)
    if outcome.answer is None:
        raise StatementError(f"{name} ended the process that it ran in: {outcome.reason}", "process ended")
    if outcome.answer.internal_error:
        raise RuntimeError(f"the check of {name} failed:\n{outcome.answer.internal_error}")
    if outcome.answer.verdict is None:
        if not outcome.answer.traceback:
            raise _too_early(name, timeout)
        raise _failed(statement, outcome.answer.traceback)
    return outcome.answer.verdict


def _endless(statement: str, waited: float, cpu: float, so_far: Path) -> Verdict:
    """Return the verdict on a call that a thread has waited for until now. ``cpu`` is the share in which it computed."""
    if (
        so_far.exists()
    ):  # at the lowered switch interval another thread got the GIL, and at the program's own it does not
        known = msgspec.json.decode(so_far.read_bytes(), type=Verdict)
        return msgspec.structs.replace(known, kind="hogs", reason="brief releases", longest_wait=waited, explanation="")
    return Verdict(
        name=statement.strip(),
        kind="hogs",
        reason="deadlock" if cpu < MAX_CPU_OF_A_DEADLOCK else "",
        released=0.0,
        yielded=0.0,
        hogged=1.0,
        longest_hold=waited,
        longest_wait=waited,
        long_holds=1,
        waits=None,
        samples=1,
        duration=waited,
        calls=0,
        cpu=cpu,
        background=None,
        endless=True,
        switch_interval=0.0,
        machine=machine(),
    )
