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
import signal
import sys
import traceback
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, TextIO

import msgspec

from gilscope.records.result import Baseline
from gilscope.trial import baseline_process
from gilscope.trial.baseline_process import mean_slice_seconds
from gilscope.trial.clock import Pauses, TrialClock
from gilscope.trial.cpu_time import descendants, used_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope.trial.baseline_process import BaselineTask


class BaselineProcess:
    """The process that stops a trial and measures its baseline, started and ready."""

    def __init__(self, pid: int, pauses: Pauses, requests: BinaryIO, answers: TextIO) -> None:
        self.pids = [pid, *descendants(pid)]
        self.clock = TrialClock(pauses)
        self._requests, self._answers = requests, answers

    def begin(self, pids: list[int]) -> None:
        """Measure the first slice of the baseline, and from now on stop these processes again and again.

        Only those of this process's group: whoever ends the trial ends the whole group. A server in a session of its own
        would stay stopped if the trial was killed in a pause.
        """
        self._ask(" ".join(str(pid) for pid in pids if _group(pid) == os.getpgrp()))

    def end(self) -> Baseline | None:
        """Stop the trial's processes no more; return what was measured, or ``None`` if that failed."""
        try:
            return msgspec.json.decode(self._ask("end"), type=Baseline)
        except msgspec.DecodeError:  # the process ended before its answer, or in the middle of it
            return None

    def cpu_time(self) -> float:
        """Return the CPU seconds that this process and its helpers have used."""
        try:
            return sum(map(used_by, self.pids))
        except OSError:  # it has ended
            return 0.0

    def _ask(self, line: str) -> str:
        """Return the answer to a line; empty if the process has ended."""
        try:
            self._requests.write(line.encode() + b"\n")
        except BrokenPipeError:
            return ""
        return self._answers.readline()


def _group(pid: int) -> int | None:
    """Return the process group of ``pid``; ``None`` if that process has ended."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


@contextmanager
def forked(task: BaselineTask | None, seconds: float = 0.0) -> Iterator[BaselineProcess | None]:
    """Fork the process that measures the baseline; yield ``None`` without a ``task``, or if the process does not start.

    ``seconds`` is how long the trial is planned to run. A fork starts at once, where a new interpreter takes 0.2 s. The process that forks must have no other thread yet.
    """
    if task is None:
        yield None
        return
    pauses = Pauses()
    request, requests = os.pipe()
    answers, answer = os.pipe()
    trial = os.getpid()
    between = os.fork()
    if between == 0:
        try:
            # Twice, so that this is not a child of the trial: the trial's code may wait for all of its children to end.
            if os.fork() == 0:
                os.close(requests)
                # The trial sees the end of the answers when this process has ended, and has printed why.
                baseline_process.serve(task, mean_slice_seconds(seconds), pauses, trial, request, os.dup(answer))
        except BaseException:  # noqa: BLE001 - os._exit prints none
            traceback.print_exc()
            sys.stderr.flush()
        finally:  # runs nothing that the trial's process wants to run at its exit
            os._exit(0)
    os.close(request)
    os.close(answer)
    with suppress(ChildProcessError):  # SIGCHLD is ignored
        os.waitpid(between, 0)
    pid = None
    try:
        # Without a buffer: closing it writes nothing, which would fail if the process has ended.
        with os.fdopen(requests, "wb", buffering=0) as writer, os.fdopen(answers) as reader:
            pid = int(reader.readline() or 0)
            yield BaselineProcess(pid, pauses, writer, reader) if pid else None
    finally:
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        pauses.close()
