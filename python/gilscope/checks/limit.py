"""The holds of the GIL in a block of code, and the waits for it, compared with a limit on their length.

The block runs once, so it is seen at two switch intervals in turn: mostly at a lowered one, at which a long hold cannot be
mistaken for code that yields, and in between at the program's own, at which code that releases the GIL only briefly, again
and again, keeps a thread waiting. If the block's event loops are measured too, the interval stays as it is: a loop gets the
GIL sooner at a lowered one.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gilscope._core import Knocker, monotonic
from gilscope.checks.gc_pauses import explain, recorded_pauses
from gilscope.checks.knocks import SampledTime, knocks_in
from gilscope.checks.phase import MAX_KNOCKS_KEPT, MEAN_GAP_SECONDS
from gilscope.checks.run import LOWERED_SWITCH_INTERVAL_SECONDS
from gilscope.checks.shares import was_woken
from gilscope.records.stall import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gilscope._core import GcListener, Knock, LongWait
    from gilscope.checks.knocks import Wait

SLEEPS_UNTIL_YIELDED = 2
"""For code that yields, a thread sleeps until it asks for the GIL, and until it is answered: what is longer is the system's."""
OURS = str(Path(__file__).parents[1])
MIN_SHARE_OF_LONGEST = 0.5
"""A hold whose line is known is named instead of the longest, whose line is not, if it took at least this share of its time."""


class Over(NamedTuple):
    """The longest of the holds or waits that were over a limit; or one about as long, if only the line of that one is known."""

    longest: float
    collecting: bool
    """Whether it was a garbage collection."""
    brief: bool
    """Whether it was a wait for code that released the GIL again and again, but too briefly; otherwise it was one hold."""
    thread: str
    """The thread that kept the GIL; ``""`` if it has no name, or is unknown."""
    stack: tuple[Frame, ...]
    """Where it did, innermost frame first; empty if it had left the block before that could be seen."""


class Holds:
    """The waits of the threads that asked for the GIL while the block ran. Complete when the block has ended."""

    def __init__(self, collections: GcListener, switch_interval: float) -> None:
        self._sampled = SampledTime()
        self._knocks: list[Knock] = []
        self._long_waits: dict[float, LongWait] = {}
        self._collections = collections
        self._switch_interval = switch_interval
        self.judged = False
        """Whether the system reports run-queue delays; otherwise a long wait may have been one, and proves nothing."""

    def add(self, knocks: Sequence[Knock], long_waits: Sequence[LongWait], *, begin: float, end: float) -> None:
        """Add what the knocks between ``begin`` and ``end`` show."""
        self.judged = all(knock.state is not None for knock in knocks)
        self._knocks = knocks_in(knocks, [(begin, end)])
        self._long_waits = {seen.start: seen for seen in long_waits}
        self._sampled.add(knocks, begin=begin, end=end)

    def over(self, limit: float) -> Over | None:
        """Return the longest hold, or wait for what was not one hold, that was certainly over ``limit``."""
        both = zip(self._sampled.waits, self._knocks, strict=True)
        return chosen([self._seen(wait, knock) for wait, knock in both if self._is_over(wait, knock, limit)])

    def _seen(self, wait: Wait, knock: Knock) -> Over:
        seen = self._long_waits.get(knock.start)
        return Over(
            _kept(wait, knock, wait.likely),
            explain(self._collections, wait),
            brief=not knock.lowered and was_woken(wait, self._switch_interval),
            thread=seen.thread if seen else "",
            stack=_stack(seen) if seen else (),
        )

    def _is_over(self, wait: Wait, knock: Knock, limit: float) -> bool:
        # At the program's own interval code that yields makes a thread wait for one interval. What takes longer is a hold, or
        # a series of them with releases that are too brief, if one thread kept the GIL all the time.
        if not wait.held:
            return False
        least = max(wait.least, self._surely_held(knock))
        if knock.lowered:
            return _kept(wait, knock, least) > limit
        return (
            knock.kept is not None
            and (knock.slept is None or knock.slept > SLEEPS_UNTIL_YIELDED)
            and _kept(wait, knock, least) > limit + self._switch_interval
        )

    def _surely_held(self, knock: Knock) -> float:
        """Return how long the GIL was surely held after the knock, as far as the thread that looks at it saw.

        A delay of the knocker itself is no part of that, so no other knocks are needed to judge it.
        """
        seen = self._long_waits.get(knock.start)
        return 0.0 if seen is None else seen.held - knock.queued


def chosen(over: Sequence[Over]) -> Over | None:
    """Return the longest of those that were over the limit, or one about as long, if only the line of that one is known."""
    longest = max(over, key=lambda one: one.longest, default=None)
    if longest is None:
        return None
    known = (one for one in over if one.stack and one.longest >= MIN_SHARE_OF_LONGEST * longest.longest)
    return longest if longest.stack else max(known, key=lambda one: one.longest, default=longest)


@contextmanager
def holds(limit: float, *, as_it_is: bool = False) -> Iterator[Holds]:
    """Sample the GIL while the block runs, on the thread that runs the block, and see who keeps it for about ``limit``.

    With ``as_it_is`` the switch interval is not lowered.
    """
    with recorded_pauses() as collections:
        found = Holds(collections, sys.getswitchinterval())
        with Knocker(
            mean_gap=MEAN_GAP_SECONDS,
            watched=threading.get_native_id(),
            keep=MAX_KNOCKS_KEPT,
            ordinary=as_it_is,
            lowered=None if as_it_is else LOWERED_SWITCH_INTERVAL_SECONDS,
            stacks_over=limit / 2,
        ) as knocker:
            begin = monotonic()
            try:
                yield found
            finally:
                end = monotonic()
                knocker.stop()
                found.add(knocker.knocks(), knocker.long_waits(), begin=begin, end=end)


def _kept(wait: Wait, knock: Knock, length: float) -> float:
    """Return the part of ``length``, a bound or estimate of the wait, in which one thread kept the GIL from all others."""
    taken_by_others = 0.0 if knock.kept is None else knock.wait - knock.kept
    return min(length, max(0.0, wait.end - wait.start - taken_by_others))


def _stack(seen: LongWait) -> tuple[Frame, ...]:
    stack = tuple(Frame(file=file, line=line, function=function) for file, line, function in seen.stack)
    return () if any(frame.file.startswith(OURS) for frame in stack) else stack  # it has left the block
