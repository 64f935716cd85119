"""Processes that keep the processors busy, so that the instruments are tried on a loaded machine."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def hogs(number: int) -> Iterator[None]:
    """Run ``number`` of them while the context is open; they end with this process even if it is killed."""
    forever = "from gilscope.isolated.supervise import die_with_parent; die_with_parent()\nwhile True: pass"
    running = [subprocess.Popen([sys.executable, "-c", forever]) for _ in range(number)]
    try:
        yield
    finally:
        for hog in running:
            hog.kill()
            hog.wait()
