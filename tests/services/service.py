"""Starts a service, waits until it answers, ends it with SIGTERM, and reads what was reported about it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).parents[2] / "docs" / "services.md").read_text()
TITLED = re.compile(r'^```python title="(\S+)"\n(.*?)^```', re.MULTILINE | re.DOTALL)
STALLS = "# stalls"
"""The comment on a planted stall."""
SECONDS_TO_ANSWER = 60.0
"""A service imports for some seconds on a machine that other tests keep busy."""


class Running(NamedTuple):
    """A service: its process, and the file that gets what it prints."""

    process: subprocess.Popen[bytes]
    printed: Path

    def wait_for(self, text: str) -> None:
        """Wait until the service has printed ``text``."""
        give_up = time.monotonic() + SECONDS_TO_ANSWER
        while text not in self.printed.read_text():
            assert self.process.poll() is None, self.printed.read_text()
            assert time.monotonic() < give_up, self.printed.read_text()
            time.sleep(0.05)

    def end(self) -> tuple[int, str]:
        """End the service with SIGTERM. Return its exit status, and all that it has printed."""
        self.process.terminate()
        return self.process.wait(SECONDS_TO_ANSWER), self.printed.read_text()


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[Running]:
    """Run ``python -m ARGUMENTS`` in ``folder``. Whatever happens, it has ended after that."""
    printed = folder / "printed.txt"
    environment = {**os.environ, "HOME": str(folder), "PYTHONUNBUFFERED": "1"}
    with printed.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield Running(process, printed)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def written(folder: Path, name: str, source: str) -> Path:
    """Write a module into ``folder``."""
    (folder / name).write_text(textwrap.dedent(source))
    return folder / name


def from_the_page(folder: Path, name: str) -> Path:
    """Write the file ``name`` of docs/services.md into ``folder``."""
    return written(folder, name, dict(TITLED.findall(PAGE))[name])


def command_of_the_page(beginning: str, port: int) -> list[str]:
    """Return the command of docs/services.md that begins so, for ``python -m``, with another port."""
    line = next(line for line in PAGE.splitlines() if line.startswith(f"$ {beginning}"))
    return shlex.split(line.removeprefix("$ ").replace("8000", str(port)))


def planted(file: Path) -> str:
    """Return the place of the planted stall in ``file``, as ``app.py:12``."""
    lines = [number for number, line in enumerate(file.read_text().splitlines(), 1) if STALLS in line]
    assert len(lines) == 1
    return f"{file.name}:{lines[0]}"


def reported(file: Path) -> dict[str, set[str]]:
    """Return the causes that the report in ``file`` has for each place.

    If a signal has killed the service, a process of the watch writes the report after that.
    """
    causes: dict[str, set[str]] = {}
    for site in _written(file)["snapshot"]["sites"]:
        if culprit := site["culprit"]:
            causes.setdefault(f"{Path(culprit['file']).name}:{culprit['line']}", set()).add(site["cause"])
    return causes


def _written(file: Path) -> Any:
    give_up = time.monotonic() + SECONDS_TO_ANSWER
    while True:
        try:
            return json.loads(file.read_bytes())
        except (FileNotFoundError, ValueError):
            assert time.monotonic() < give_up, f"no report in {file}"
            time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def get(service: Running, port: int, path: str) -> str:
    """Return what the service answers, as soon as it does."""
    give_up = time.monotonic() + SECONDS_TO_ANSWER
    while True:
        try:
            with urllib.request.urlopen(f"http://localhost:{port}{path}", timeout=SECONDS_TO_ANSWER) as answer:
                return str(answer.read().decode())
        except OSError:
            assert service.process.poll() is None, service.printed.read_text()
            assert time.monotonic() < give_up, service.printed.read_text()
            time.sleep(0.05)
