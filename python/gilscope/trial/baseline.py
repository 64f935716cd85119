"""The baseline of a trial: what one task alone does, measured while the trial stands still.

The speed of a shared machine changes by a factor of two, on each core at its own time, within tenths of a second: other
virtual machines use the other half of the same physical cores. A baseline that is a minute old is worthless. Therefore a
process of its own, :mod:`gilscope.trial.baseline_process`, stops the whole trial about ten times a second, has one task
alone run for some milliseconds on the cores that the trial used, and lets the trial go on.

A stopped process uses no CPU, and its threads neither ask for the GIL nor release it, whoever holds it: the trial goes on
as if no time had passed. :class:`gilscope.trial.clock.TrialClock` leaves the pauses out. Only a time limit can expire
in a pause: a thread that waits for the GIL then asks for it up to a switch interval too early.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from gilscope.isolated.supervise import PARENT_VARIABLE
from gilscope.records.result import Baseline
from gilscope.trial.clock import Pauses, TrialClock
from gilscope.trial.cpu_time import used_by

if TYPE_CHECKING:
    from collections.abc import Iterator


class BaselineTask(msgspec.Struct, frozen=True, kw_only=True):
    """The task whose baseline is measured, by the dotted name of its kernel."""

    function: str
    count: int
    """The steps of one slice of the baseline."""
    cores: float
    """How many cores the trial keeps busy if nobody else uses them."""


class BaselineProcess:
    """The process that stops a trial and measures its baseline, started and ready."""

    def __init__(self, child: subprocess.Popen[str], pauses: Pauses) -> None:
        self.pid = child.pid
        self.clock = TrialClock(pauses)
        self._child = child

    def begin(self, pids: list[int]) -> None:
        """Measure the first slice of the baseline, and from now on stop these processes again and again."""
        self._ask(" ".join(map(str, pids)))

    def end(self) -> Baseline | None:
        """Stop the trial's processes no more; return what was measured, or ``None`` if that failed."""
        answer = self._ask("end")
        return msgspec.json.decode(answer, type=Baseline) if answer else None

    def cpu_time(self) -> float:
        """Return the CPU seconds that this process has used."""
        try:
            return used_by(self.pid)
        except OSError:  # it has ended
            return 0.0

    def _ask(self, line: str) -> str:
        """Return the answer to a line; empty if the process has ended."""
        assert self._child.stdin is not None  # noqa: S101
        assert self._child.stdout is not None  # noqa: S101
        try:
            self._child.stdin.write(f"{line}\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            return ""
        return self._child.stdout.readline()


@contextmanager
def baseline_process(task: BaselineTask | None) -> Iterator[BaselineProcess | None]:
    """Start the process that measures the baseline; yield ``None`` without a ``task``, or if it does not start."""
    if task is None:
        yield None
        return
    fd = Pauses.file()
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "gilscope.trial.baseline_process", str(fd), msgspec.json.encode(task).decode()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=[fd],
        text=True,
        env={**os.environ, PARENT_VARIABLE: str(os.getpid())},
    )
    pauses = Pauses(fd)
    os.close(fd)
    try:
        assert child.stdout is not None  # noqa: S101
        ready = child.stdout.readline()
        yield BaselineProcess(child, pauses) if ready else None
    finally:
        child.kill()
        child.communicate()
        pauses.close()
