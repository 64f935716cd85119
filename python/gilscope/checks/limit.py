"""The stretches in which a block of code kept the GIL, for a limit on their length."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING

from gilscope._core import Knocker, LoweredSwitchInterval, monotonic
from gilscope.checks.gc_pauses import made, noted
from gilscope.checks.knocks import Heard
from gilscope.checks.run import INTERVAL, KEEP, MEAN_GAP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope._core import Collections


class Holds:
    """What was kept from a thread that asked for the GIL while the block ran. Complete when the block is over."""

    def __init__(self, collections: Collections) -> None:
        self._heard = Heard()
        self._collections = collections
        self.judged = False
        """Whether the system told what was its own doing: without that a long wait proves nothing."""

    def over(self, limit: float) -> tuple[float, bool] | None:
        """Return how long the longest stretch was, if one was certainly over ``limit``; and whether it was a collection."""
        over = [wait for wait in self._heard.waits if wait.held and wait.least > limit]
        if not over:
            return None
        longest = max(over, key=attrgetter("likely"))
        return longest.likely, made(self._collections, longest)


@contextmanager
def holds() -> Iterator[Holds]:
    """Listen while the block runs, on the thread that runs it."""
    watched = threading.get_native_id()
    with LoweredSwitchInterval(interval=INTERVAL), noted() as collections:
        found = Holds(collections)
        with Knocker(mean_gap=MEAN_GAP, watched=watched, keep=KEEP) as knocker:
            begin = monotonic()
            try:
                yield found
            finally:
                end = monotonic()
                knocker.stop()
                knocks = knocker.knocks()
                found.judged = all(knock.doing is not None for knock in knocks)
                found._heard.add(knocks, begin=begin, end=end)  # noqa: SLF001 - its own
