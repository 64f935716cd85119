"""A test that needs real time runs while no other test does, be it in another worker of pytest-xdist or in another run.

Two locks on files do it: every test takes the first one for a moment and the second one for as long as it runs. A test
that needs the machine for itself takes the second one exclusively, and keeps the first until it has it, so that no
other test starts meanwhile.
"""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

QUEUE = Path(__file__)
MACHINE = Path(__file__).with_name("__init__.py")


@contextmanager
def machine(*, alone: bool) -> Iterator[None]:
    """Share the machine with other tests, or have it alone, while the context lasts."""
    with QUEUE.open() as queue, MACHINE.open() as running:
        fcntl.flock(queue, fcntl.LOCK_EX)
        fcntl.flock(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(queue, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(running, fcntl.LOCK_UN)  # a forked child that lives on has the file open too
