"""Processes that keep the cores busy, to try the instruments on a loaded machine."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def busy_processes(number: int) -> Iterator[None]:
    """Run ``number`` busy processes while the context is open. They end with this process, even if it is killed."""
    forever = "from gilscope.isolated.supervise import die_with_parent; die_with_parent()\nwhile True: pass"
    running = [subprocess.Popen([sys.executable, "-c", forever]) for _ in range(number)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()
