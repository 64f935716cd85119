"""What single knocks tell: how long the GIL was kept from each, and what of that was the system's doing.

On a loaded machine the thread that is checked, or the knocker itself, may be waiting for a processor. All time here is the
checked thread's own: what it spent in a run queue is taken off, over the waits and over the gaps between them, and what
may have been the knocker's own delay is not held against it. The argument is in ``docs/check.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilscope._core import Knock

AT_ONCE = 10e-6
"""Where the system does not tell whether the knocker slept, a wait up to this long is none (seconds)."""

ENOUGH = 20
"""So many knocks tell what delays of the knocker's own there are."""

QUEUED, BLOCKED = 2, 3
"""What ``Knock.doing`` says of a thread that does not run."""


class Wait(NamedTuple):
    """What one knock tells, cut to the span."""

    start: float
    end: float
    weight: float
    """How likely the thread was not in a run queue when the knock came: 0 to 1. What is 0 says nothing."""
    held: bool
    least: float
    """How long the GIL was kept after the knock, for certain; more may have been the knocker's own delay."""
    most: float
    """The same at most."""
    likely: float
    """The same most likely, if it was kept for longer than the knocker's delays."""
    before: float
    """The thread's own time since the knock before: what keeps the GIL now has not kept it for longer."""


@dataclass
class Heard:
    """What the knocks of a span, or of several, tell."""

    waits: list[Wait] = field(default_factory=list)
    between: float = 0.0
    """The thread's own time between the waits."""

    def add(self, knocks: Sequence[Knock], *, begin: float, end: float) -> None:
        """Add ``knocks``, as far as they were between ``begin`` and ``end``."""
        inside = [knock for knock in knocks if knock.start + knock.wait > begin and knock.start < end]
        delay = _longest_delay(inside)
        gaps = ran = queued = 0.0
        last = begin
        for knock in inside:
            gap = max(0.0, knock.start - last)
            self.waits.append(_read(knock, gap, delay, begin, end))
            gaps += gap
            ran += min(knock.ran_before, gap)
            # Booked when the thread runs again: what does not fit into the wait was before it.
            queued += knock.queued_before + max(0.0, knock.queued - (knock.wait - knock.ran))
            last = min(knock.start + knock.wait, end)
        if gaps > 0:  # what came after the last knock is like what came before
            self.between += min(gaps, max(ran, gaps - queued)) * (1 + (end - last) / gaps)


def was_held(knock: Knock) -> bool:
    """Return whether the knock found the GIL held."""
    return knock.wait > AT_ONCE if knock.slept is None else knock.slept > 0


def _longest_delay(knocks: Sequence[Knock]) -> float:
    """Return how long the knocker may have waited for a processor at one time.

    It does so once between two knocks, so there it shows. Twice the ninth decile, since the longest of them is an accident.
    """
    delays = sorted(knock.own_queued_before for knock in knocks)
    return 2 * delays[len(delays) * 9 // 10] if len(delays) >= ENOUGH else inf


def _read(knock: Knock, gap: float, delay: float, begin: float, end: float) -> Wait:
    inside = min(knock.start + knock.wait, end) - max(knock.start, begin)
    least, most, likely = _kept(knock, delay)
    return Wait(
        start=max(knock.start, begin),
        end=min(knock.start + knock.wait, end),
        weight=weight(knock, gap) if knock.start >= begin else 0.0,
        held=was_held(knock),
        least=min(least, inside),
        most=min(most, inside),
        likely=min(likely, inside),
        before=_own_before(knock, gap),
    )


def _kept(knock: Knock, delay: float) -> tuple[float, float, float]:
    """Return how long the thread kept the GIL after the knock: at least, at most, and most likely.

    The knocker asks after its first sleep and has the GIL after its last. Of its own delays the one after the first is
    time in which the thread ran on, not being asked; the one after the last is time in which the thread had let go, and
    was blocked until the knocker took it (``drop_gil`` in CPython's ``Python/ceval_gil.c``). Neither was longer than all
    of them together, nor (``delay``) than the longest single one that was seen between knocks.
    """
    own = max(knock.ran, knock.wait - knock.queued)
    idle = own - knock.ran
    if knock.doing not in (BLOCKED, None):  # it computed, so that it was blocked only after it had let go
        idle = max(0.0, idle - knock.own_queued)
    most = knock.ran + idle
    one = min(knock.own_queued, delay)
    least = max(own - knock.own_queued, max(0.0, knock.ran - one) + max(0.0, idle - one))
    likely = max(least, most - 2 * knock.own_queued / knock.slept) if knock.slept else most
    return least, most, likely


def weight(knock: Knock, gap: float) -> float:
    """Return how likely the thread was not in a run queue when a knock came that was ``gap`` after the one before."""
    if knock.doing != QUEUED:
        return 1.0
    # Perhaps the knocker itself has just taken the processor from it. It has if the thread ran until then.
    return min(1.0, knock.ran_before / gap) if gap > 0 else 0.0


def _own_before(knock: Knock, gap: float) -> float:
    if knock.doing in (BLOCKED, None):
        return max(knock.ran_before, gap - knock.queued_before)
    return min(gap, knock.ran_before)  # the stretch that it is in is one of computing
