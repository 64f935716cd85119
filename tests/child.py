"""Runs a script in a Python process of its own: what ends a process, forks it or hogs its GIL is tried there."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

SECONDS_TO_LIVE = 120.0
"""A child that lives longer than this hangs: the slowest of them takes a second on an idle machine."""


def run(script: str, *arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Run ``script`` and return how it ended. Raises ``subprocess.TimeoutExpired`` if it hangs."""
    command = [python, "-c", dedent(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=False)


def output(script: str, *arguments: str) -> list[str]:
    """Run ``script``, which must end well and say nothing on stderr, and return the lines that it printed."""
    ended = run(script, *arguments)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()
