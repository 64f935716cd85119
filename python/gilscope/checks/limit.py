"""The holds of the GIL in a block of code, and the waits for it, compared with a limit on their length.

The block runs once, so it is seen at two switch intervals in turn: mostly at a lowered one, at which a long hold cannot be
mistaken for code that yields, and in between at the program's own, at which code that releases the GIL only briefly, again
and again, keeps a thread waiting.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from gilscope._core import Knocker, monotonic
from gilscope.checks.gc_pauses import explain, recorded_pauses
from gilscope.checks.knocks import SampledTime, knocks_in
from gilscope.checks.phase import MAX_KNOCKS_KEPT, MEAN_GAP_SECONDS
from gilscope.checks.run import LOWERED_SWITCH_INTERVAL_SECONDS
from gilscope.checks.shares import was_woken
from gilscope.checks.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gilscope._core import GcListener, Knock
    from gilscope.checks.knocks import Wait
    from gilscope.checks.witness import Sighting

SLEEPS_UNTIL_YIELDED = 2


class Over(NamedTuple):
    """The longest of the holds or waits that were over a limit."""

    longest: float
    collecting: bool
    """Whether it was a garbage collection."""
    brief: bool
    """Whether it was a wait for code that released the GIL again and again, but too briefly; otherwise it was one hold."""
    kept_by: Sighting | None
    """The thread that kept the GIL, and its stack, if it was seen."""


class Holds:
    """The waits of the threads that asked for the GIL while the block ran. Complete when the block has ended."""

    def __init__(self, collections: GcListener, witness: Witness, switch_interval: float) -> None:
        self._witness = witness
        self._sampled = SampledTime()
        self._knocks: list[Knock] = []
        self._collections = collections
        self._switch_interval = switch_interval
        self.judged = False
        """Whether the system reports run-queue delays; otherwise a long wait may have been one, and proves nothing."""

    def add(self, knocks: Sequence[Knock], *, begin: float, end: float) -> None:
        """Add what the knocks between ``begin`` and ``end`` show."""
        self.judged = all(knock.state is not None for knock in knocks)
        self._knocks = knocks_in(knocks, [(begin, end)])
        self._sampled.add(knocks, begin=begin, end=end)

    def over(self, limit: float) -> Over | None:
        """Return the longest hold, or wait for what was not one hold, that was certainly over ``limit``."""
        # At the program's own interval code that yields makes a thread wait for one interval. What takes longer is a hold or
        # a series of them with releases that are too brief: the lowered interval would have told, had it been in force.
        over = [
            (wait, knock)
            for wait, knock in zip(self._sampled.waits, self._knocks, strict=True)
            if wait.held
            and wait.least > limit + (0.0 if knock.lowered else self._switch_interval)
            and (knock.lowered or self._was_kept(wait, knock, limit))
        ]
        if not over:
            return None
        wait, knock = max(over, key=lambda one: one[0].likely)
        return Over(
            wait.likely,
            explain(self._collections, wait),
            brief=not knock.lowered and was_woken(wait, self._switch_interval),
            kept_by=self._witness.between(wait.start, wait.end),
        )

    def _was_kept(self, wait: Wait, knock: Knock, limit: float) -> bool:
        """Return whether one thread kept the GIL in a wait at the program's own interval, and not several in turns.

        For code that yields a thread sleeps until it asks for the GIL, and until it is answered. Waiting for longer after
        that is waiting for a CPU.
        """
        if knock.slept is not None and knock.slept <= SLEEPS_UNTIL_YIELDED:
            return False
        seen = self._witness.between(wait.start, wait.end)
        longest = self._witness.longest_between_looks(wait.start, wait.end)
        return (seen is None or not seen.in_turns) and longest > limit + self._switch_interval


@contextmanager
def holds(limit: float) -> Iterator[Holds]:
    """Sample the GIL while the block runs, on the thread that runs the block, and see who keeps it for about ``limit``."""
    with recorded_pauses() as collections:
        witness = Witness(limit / 2)
        found = Holds(collections, witness, sys.getswitchinterval())
        with Knocker(
            mean_gap=MEAN_GAP_SECONDS,
            watched=threading.get_native_id(),
            keep=MAX_KNOCKS_KEPT,
            lowered=LOWERED_SWITCH_INTERVAL_SECONDS,
        ) as knocker:
            witness.start()
            begin = monotonic()
            try:
                yield found
            finally:
                end = monotonic()
                witness.stop()
                knocker.stop()
                found.add(knocker.knocks(), begin=begin, end=end)
