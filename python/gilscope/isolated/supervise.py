"""Run a module in a process of its own, and supervise it from outside.

The child may hold its GIL for ever, crash, or leave processes behind. The parent's clock, progress bar and Ctrl-C keep
working, a time limit always holds, and the child's whole process group is gone when :func:`run` returns or raises.

The child is ``python -P -m MODULE REQUEST ANSWER``: it reads one file and writes the other. They are files because a pipe
that nobody reads blocks, and because what the child's code prints must not end up in the answer. ``-P`` keeps a
``queue.py`` in the working directory from replacing the standard library's; a child that runs the user's code adds that
directory itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = TypeVar("Answer")

PARENT_VARIABLE = "GILSCOPE_PARENT"
"""The environment variable with the parent's process id: a child that finds another parent knows that its own is gone."""
POLL_SECONDS = 0.02
EXIT_SECONDS = 5.0
"""After its answer, a child is ended if it still runs this long."""


@dataclass(frozen=True)
class Outcome(Generic[Answer]):
    """How a child ended: ``answer`` if it finished, and if not, ``reason`` in words."""

    status: Literal["finished", "timed out", "died"]
    answer: Answer | None
    reason: str
    output: str
    """What the child printed, on stdout and on stderr."""


def run(
    module: str, request: bytes, *, timeout: float, waiting: Callable[[float], None] | None = None
) -> Outcome[bytes]:
    """Run ``module`` on ``request`` and return how it ended, after at most ``timeout`` seconds.

    ``waiting`` is called about 50 times a second with the seconds since the start. If it raises, or on Ctrl-C, the child
    is ended before the exception leaves this function.
    """
    with tempfile.TemporaryDirectory(prefix="gilscope-") as folder:
        asked, answered, printed = (Path(folder, name) for name in ("request", "answer", "output"))
        asked.write_bytes(request)
        began = time.monotonic()
        with printed.open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", module, str(asked), str(answered)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
                env={**os.environ, PARENT_VARIABLE: str(os.getpid())},
            )
        try:
            in_time = _wait(child, answered, began + timeout, waiting, began)
        finally:
            _end(child)
        text = printed.read_text(errors="replace")
        if answered.exists():  # written in one step, so it is complete: however the process ended after that
            return Outcome("finished", answered.read_bytes(), "", text)
        if not in_time:
            return Outcome("timed out", None, f"not done after {timeout:g} s", text)
        return Outcome("died", None, _reason(child.returncode, text), text)


def die_with_parent() -> None:
    """Have the system kill this process when its parent is gone, however the parent ended."""
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    parent = os.environ.pop(PARENT_VARIABLE, None)
    if parent is not None and os.getppid() != int(parent):  # the parent ended before prctl took effect
        os._exit(1)


def _wait(
    child: subprocess.Popen[bytes],
    answered: Path,
    deadline: float,
    waiting: Callable[[float], None] | None,
    began: float,
) -> bool:
    """Return whether the child ended before ``deadline``. It is not reaped yet, so that no other group gets its number.

    A child that has answered has ``EXIT_SECONDS`` to end: what it destroys at its exit may hang.
    """
    has_answered = False
    while os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            return False
        if not has_answered and answered.exists():
            has_answered, deadline = True, min(deadline, time.monotonic() + EXIT_SECONDS)
        if waiting is not None and not has_answered:
            waiting(time.monotonic() - began)
        time.sleep(POLL_SECONDS)
    return True


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child's process group, the workers of its pools included, and reap the child."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _reason(status: int, output: str) -> str:
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-status).name}"
    last = output.strip().rsplit("\n", 1)[-1]
    return f"exit status {status}" + (f": {last}" if last else "")
