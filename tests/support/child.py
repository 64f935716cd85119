"""Runs a script in a new Python process, for tests of code that ends a process, forks it or hogs its GIL."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

SECONDS_TO_LIVE = 120.0
"""A child that takes longer hangs: the slowest child takes one second on an idle machine."""


def run(script: str, *arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Run ``script`` and return how it ended. Raises ``subprocess.TimeoutExpired`` if it hangs."""
    command = [python, "-c", dedent(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=False)


def output(script: str, *arguments: str) -> list[str]:
    """Run ``script``, which must exit with 0 and write nothing to stderr, and return the lines that it printed."""
    ended = run(script, *arguments)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def gone(pid: int) -> bool:
    """Return whether the process has ended. A zombie has ended too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until_gone(pid: int) -> None:
    """Wait until a process that was asked to end is gone."""
    deadline = time.monotonic() + SECONDS_TO_LIVE
    while time.monotonic() < deadline:
        if gone(pid):
            return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} is still there after {SECONDS_TO_LIVE:g} s")
