"""The holds of the GIL in a block of code, compared with a limit on their length."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING

from gilscope._core import Knocker, LoweredSwitchInterval, monotonic
from gilscope.checks.gc_pauses import explain, recorded_pauses
from gilscope.checks.knocks import SampledTime
from gilscope.checks.phase import MAX_KNOCKS_KEPT, MEAN_GAP_SECONDS
from gilscope.checks.run import LOWERED_SWITCH_INTERVAL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope._core import GcListener


class Holds:
    """The waits of the threads that asked for the GIL while the block ran. Complete when the block has ended."""

    def __init__(self, collections: GcListener) -> None:
        self._sampled = SampledTime()
        self._collections = collections
        self.judged = False
        """Whether the system reports run-queue delays; otherwise a long wait may have been one, and proves nothing."""

    def over(self, limit: float) -> tuple[float, bool] | None:
        """Return the longest hold that was certainly over ``limit``, and whether it was a garbage collection."""
        over = [wait for wait in self._sampled.waits if wait.held and wait.least > limit]
        if not over:
            return None
        longest = max(over, key=attrgetter("likely"))
        return longest.likely, explain(self._collections, longest)


@contextmanager
def holds() -> Iterator[Holds]:
    """Sample the GIL while the block runs, on the thread that runs the block."""
    watched = threading.get_native_id()
    with LoweredSwitchInterval(interval=LOWERED_SWITCH_INTERVAL_SECONDS), recorded_pauses() as collections:
        found = Holds(collections)
        with Knocker(mean_gap=MEAN_GAP_SECONDS, watched=watched, keep=MAX_KNOCKS_KEPT) as knocker:
            begin = monotonic()
            try:
                yield found
            finally:
                end = monotonic()
                knocker.stop()
                knocks = knocker.knocks()
                found.judged = all(knock.state is not None for knock in knocks)
                found._sampled.add(knocks, begin=begin, end=end)  # noqa: SLF001 - its own
