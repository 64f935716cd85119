"""Starts processes to be read from outside, and finds the Pythons of this machine."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

from tests.support.child import SECONDS_TO_LIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

READY = "ready"
WAIT = f"import sys; print({READY!r}, flush=True); sys.stdin.read()"
"""A script that waits until its standard input is closed."""


class Target:
    """A process that runs until its test is over."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pid = process.pid

    def wait_until_ready(self) -> None:
        line = self.line()
        assert line == READY, line

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().rstrip("\n")

    def say(self, text: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()


@contextmanager
def target(
    script: str = WAIT,
    *arguments: str,
    python: str | Path = sys.executable,
    prefix: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Target]:
    """Run a script, which prints a line ``ready`` once it is what the test needs, and then waits for its standard input."""
    with started([*prefix, str(python), "-c", dedent(script), *arguments], environment) as running:
        running.wait_until_ready()
        yield running


@contextmanager
def started(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[Target]:
    """Start a process, and kill it in the end."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    with process:
        try:
            yield Target(process)
        finally:
            process.kill()


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds, which must become so."""
    deadline = time.monotonic() + SECONDS_TO_LIVE
    while not holds():
        assert time.monotonic() < deadline, "it does not become so"
        time.sleep(0.001)


@functools.cache
def python(version: str) -> str | None:
    """Return the path of a Python of this version: on the PATH, or one that pyenv installed."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [Path(folder) / f"python{version}" for folder in os.get_exec_path()]
    candidates += sorted(pyenv.glob(f"versions/{version}.*/bin/python"))
    return next((str(candidate) for candidate in candidates if _runs(candidate)), None)


def _runs(candidate: Path) -> bool:
    # A shim of pyenv for a version that is not selected does not run.
    return (
        candidate.exists() and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0
    )
