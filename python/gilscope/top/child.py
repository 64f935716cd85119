"""A program as a child process: its output goes to a file, and the signals that would end this process go to the program."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_LAST_LINES = 15
SECONDS_TO_END = 5.0
"""How long a program has to end after SIGTERM, before it is killed."""


class Child:
    """A program that runs."""

    def __init__(self, command: Sequence[str], *, name: str) -> None:
        """Start it. Raises ``OSError`` if that, or making the file, is not possible."""
        descriptor, output = tempfile.mkstemp(prefix=f"gilscope-{name}-", suffix=".log")
        self.output = Path(output)
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=descriptor, stderr=descriptor, bufsize=0
            )
        except BaseException:
            self.output.unlink()
            raise
        finally:
            os.close(descriptor)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self) -> int:
        """Wait until the program has ended. Return its exit status; 128 + the number of the signal that ended it."""
        status = self._process.wait()
        return 128 - status if status < 0 else status

    def pass_on(self, number: signal.Signals) -> None:
        """Send the program a signal that this process got, unless the terminal has sent it to both: after Ctrl-C."""
        if number != signal.SIGINT or not _has_terminal():
            self._process.send_signal(number)

    def end(self) -> None:
        """End the program."""
        self._process.terminate()
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def last_lines(self) -> list[str]:
        """Return the last lines that the program has written."""
        with suppress(OSError), self.output.open(errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, MAX_LAST_LINES)]
        return []


def _has_terminal() -> bool:
    """Whether this process is in the foreground of a terminal: Ctrl-C goes to all processes there."""
    for descriptor in range(3):
        with suppress(OSError):
            return os.tcgetpgrp(descriptor) == os.getpgrp()
    return False
