"""A program on a terminal of its own (a pseudo-terminal), which the test reads and types on."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS_TO_WAIT = 60.0
ALTERNATE, USUAL = "\x1b[?1049h", "\x1b[?1049l"
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class OnTerminal:
    """A context manager: the program that runs there is ended at its exit."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        columns: int = 80,
        rows: int = 24,
        said: int | None = None,
        **environment: str,
    ) -> None:
        self._master, self.slave = pty.openpty()
        self.resize(columns, rows)
        self.settings = termios.tcgetattr(self.slave)
        self.output = ""
        self._open = True
        kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        self.process: subprocess.Popen[Any] = subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave if said is None else said,
            env={**kept, "TERM": "xterm-256color", **environment},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self._open:
            os.close(self._master)
            os.close(self.slave)

    def resize(self, columns: int, rows: int) -> None:
        """Change the terminal's size; the system sends SIGWINCH."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def hang_up(self) -> None:
        """Close the terminal, as when its window is closed; the system sends SIGHUP."""
        os.close(self.slave)
        os.close(self._master)
        self._open = False

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait_for(self, text: str) -> str:
        """Wait until the program has printed ``text``; return what it printed since the last wait, up to there."""
        until = time.monotonic() + SECONDS_TO_WAIT
        while text not in self.output:
            self._read(until, text)
        before, _, self.output = self.output.partition(text)
        return before + text

    def wait(self) -> tuple[int, str]:
        """Wait for the program's end. Return its exit status and what it has printed since the last wait."""
        until = time.monotonic() + SECONDS_TO_WAIT
        while self.process.poll() is None:
            self._read(until, "the end", patience=0.05)
        while select.select([self._master], [], [], 0)[0]:
            self._read(until, "the end")
        return self.process.returncode, self.output

    def _read(self, until: float, wanted: str, patience: float = 1.0) -> None:
        assert time.monotonic() < until, f"no {wanted!r} in {self.output!r}"
        if select.select([self._master], [], [], patience)[0]:
            self.output += os.read(self._master, 65536).decode(errors="replace").replace("\r\n", "\n")


def shown_service(what: str = "runs", **options: Any) -> OnTerminal:
    """Show a made-up service on a terminal."""
    return OnTerminal([sys.executable, "-m", "tests.top.show_service", what], **options)


def text_of(output: str) -> str:
    """Return what was printed, without the control sequences."""
    return CONTROL.sub("", output)
