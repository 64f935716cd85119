"""Run a module in a process of its own, watched from outside.

The child may hold its GIL for ever, crash, or leave processes behind: the parent's clock, progress bar and Ctrl-C go on,
a time limit always works, and the child's whole process group is gone when :func:`run` returns or raises.

The child is ``python -P -m MODULE REQUEST ANSWER``: it reads one file and writes the other. Files, since a pipe that
nobody drains blocks, and since whatever the child's code prints must not get into the answer. ``-P`` keeps a ``queue.py``
in the working directory from taking the place of the standard library's; a child that runs the user's code adds that
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
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

PARENT = "GILSCOPE_PARENT"
"""The variable that tells a child who started it, so that it can see that it came too late."""
POLL = 0.02
"""Seconds between two looks at the child."""


@dataclass(frozen=True)
class Outcome:
    """How a child ended. ``answer`` is empty unless it finished; ``reason`` says why it did not, and is empty if it did."""

    status: Literal["finished", "timed out", "died"]
    answer: bytes
    reason: str
    output: str
    elapsed: float


def run(module: str, request: bytes, *, timeout: float, waiting: Callable[[float], None] | None = None) -> Outcome:
    """Run ``module`` on ``request`` and return how it ended, after at most ``timeout`` seconds.

    ``waiting`` is called with the seconds since the start, some 50 times a second. What the child prints, on stdout as
    on stderr, is the outcome's ``output``. An exception (Ctrl-C, say) ends the child before it comes out.
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
                env={**os.environ, PARENT: str(os.getpid())},
            )
        try:
            in_time = _wait(child, began + timeout, waiting, began)
        finally:
            _end(child)
        elapsed = time.monotonic() - began
        text = printed.read_text(errors="replace")
        if not in_time:
            return Outcome("timed out", b"", f"not done after {timeout:g} s", text, elapsed)
        if child.returncode != 0 or not answered.exists():
            return Outcome("died", b"", _reason(child.returncode, text), text, elapsed)
        return Outcome("finished", answered.read_bytes(), "", text, elapsed)


def die_with_parent() -> None:
    """Have the system end this process when its parent is gone, however that ended."""
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    parent = os.environ.pop(PARENT, None)
    if parent is not None and os.getppid() != int(parent):  # it went before that was in force
        os._exit(1)


def _wait(
    child: subprocess.Popen[bytes], deadline: float, waiting: Callable[[float], None] | None, began: float
) -> bool:
    """Return whether the child ended before ``deadline``. It is not reaped, so that its group's number stays its own."""
    while os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            return False
        if waiting is not None:
            waiting(time.monotonic() - began)
        time.sleep(POLL)
    return True


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child's process group, its pool's workers included, and reap the child."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _reason(status: int, output: str) -> str:
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-status).name}"
    last = output.strip().rsplit("\n", 1)[-1]
    return f"exit status {status}" + (f": {last}" if last else "")
