"""What single knocks show: how long the GIL was held after each, without the delays that the system caused.

A knock is one sample: a native thread, the knocker, asks for the GIL and releases it at once. On a loaded machine the
checked thread, or the knocker itself, may wait for a CPU. All time here is the checked thread's own: its time in run queues
is subtracted from the waits and from the gaps between them, and a possible delay of the knocker is not counted as a hold.
``docs/check.md`` has the argument.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilscope._core import Knock

MAX_SECONDS_BEHIND = 0.004
"""A wait that ends later after its span has missed the pause that followed: see ``Wait.whole``."""
MIN_KNOCKS_TO_KNOW_DELAYS = 20
"""With fewer knocks, the knocker's own delays are taken as unknown."""


class Wait(NamedTuple):
    """What one knock shows, clipped to the span in which the calls ran. All times in seconds."""

    start: float
    end: float
    weight: float
    """Probability that the thread was not in a run queue when the knock came. A knock with weight 0 says nothing."""
    held: bool
    least: float
    """Lower bound of how long the GIL was held after the knock; anything above may be the knocker's own delay."""
    most: float
    """Upper bound of the same."""
    likely: float
    """Best estimate of the same, if it was longer than the knocker's delays."""
    before: float
    """The thread's own time since the previous knock: the present hold had lasted for at most this long."""
    slept: int | None = None
    """How often the knocker slept in the wait; ``None`` if unknown."""
    whole: bool = True
    """Whether the wait began in the span and ended in it or just after it.

    Otherwise the thread was woken in a pause between two calls, but got no CPU, and waited on during the next call.
    """
    of_other_thread: bool = False
    """Whether the checked thread was blocked, and another thread of the process was not."""


@dataclass
class SampledTime:
    """The checked thread's own time in one span or several: the waits of the knocks, and the time between them."""

    waits: list[Wait] = field(default_factory=list)
    between: float = 0.0
    first_of_spans: list[int] = field(default_factory=list)
    """Which of the waits is the first of each span."""
    delay: float | None = None
    """The longest time that the knocker itself may have waited for a CPU at once; ``None``: as the knocks added show."""

    def add(self, knocks: Sequence[Knock], *, begin: float, end: float) -> None:
        """Add the span from ``begin`` to ``end``, and those of ``knocks`` that fall into it."""
        self.first_of_spans.append(len(self.waits))
        inside = knocks_in(knocks, [(begin, end)])
        delay = longest_delay(inside) if self.delay is None else self.delay
        gaps = ran = queued = 0.0
        last = begin
        for knock in inside:
            gap = max(0.0, knock.start - last)
            self.waits.append(_wait(knock, gap, delay, begin, end))
            gaps += gap
            ran += min(knock.ran_before, gap)
            # Linux books queue time when the thread runs again: what does not fit into the wait was before it.
            queued += knock.queued_before + max(0.0, knock.queued - (knock.wait - knock.ran))
            last = min(knock.start + knock.wait, end)
        if gaps > 0:  # the time after the last knock is taken to be like the time before it
            self.between += min(gaps, max(ran, gaps - queued)) * (1 + (end - last) / gaps)

    @property
    def spans(self) -> list[list[Wait]]:
        """The waits of each span."""
        firsts = self.first_of_spans or [0]
        return [self.waits[first:end] for first, end in zip(firsts, [*firsts[1:], len(self.waits)], strict=True)]


def knocks_in(knocks: Sequence[Knock], spans: Sequence[tuple[float, float]]) -> list[Knock]:
    """Return those of ``knocks`` that lie at least in part in one of ``spans``, pairs of a beginning and an end.

    A knock that was asked for before a span may have waited into it. One knock is over before the next begins, so they are
    found by bisection: short calls have thousands of spans and of knocks.
    """
    found: list[Knock] = []
    seen = 0
    for begin, end in sorted(spans):
        first = bisect_right(knocks, begin, lo=seen, key=_end)
        seen = bisect_left(knocks, end, lo=first, key=_start)
        found += knocks[first:seen]
    return found


def _start(knock: Knock) -> float:
    return knock.start


def _end(knock: Knock) -> float:
    return knock.start + knock.wait


def longest_delay(knocks: Sequence[Knock]) -> float:
    """Return the longest time that the knocker itself may have waited for a CPU at once.

    The knocker waits for a CPU once between two knocks, so its delays show there. The result is twice the ninth decile:
    the very longest delay is an outlier.
    """
    delays = sorted(knock.own_queued_before for knock in knocks)
    return 2 * delays[len(delays) * 9 // 10] if len(delays) >= MIN_KNOCKS_TO_KNOW_DELAYS else inf


def _wait(knock: Knock, gap: float, delay: float, begin: float, end: float) -> Wait:
    inside = min(knock.start + knock.wait, end) - max(knock.start, begin)
    least, most, likely = _held_for(knock, delay)
    return Wait(
        start=max(knock.start, begin),
        end=min(knock.start + knock.wait, end),
        weight=weight(knock, gap) if knock.start >= begin else 0.0,
        held=knock.held,
        least=min(least, inside),
        most=min(most, inside),
        likely=min(likely, inside),
        before=_own_before(knock, gap),
        slept=knock.slept,
        whole=knock.start >= begin and knock.start + knock.wait <= end + MAX_SECONDS_BEHIND,
        of_other_thread=knock.of_other_thread,
    )


def _held_for(knock: Knock, delay: float) -> tuple[float, float, float]:
    """Return how long the thread held the GIL after the knock: lower bound, upper bound, best estimate.

    The knocker asks for the GIL after its first sleep and acquires it after its last. During its delay after the first
    sleep the thread ran on, because nothing asked it to release the GIL. During its delay after the last sleep the thread
    had released the GIL, and was blocked until the knocker acquired it (``drop_gil`` in CPython's ``Python/ceval_gil.c``).
    Neither delay was longer than all delays of the wait together, nor than ``delay``, the longest seen between knocks.
    """
    own = max(knock.ran, knock.wait - knock.queued)
    idle = own - knock.ran
    # A thread that computed was blocked only after it had released the GIL.
    if knock.state not in ("blocked", None):
        idle = max(0.0, idle - knock.own_queued)
    most = knock.ran + idle
    one = min(knock.own_queued, delay)
    least = max(own - knock.own_queued, max(0.0, knock.ran - one) + max(0.0, idle - one))
    likely = max(least, most - 2 * knock.own_queued / knock.slept) if knock.slept else most
    return least, most, likely


def weight(knock: Knock, gap: float) -> float:
    """Return the probability that the thread was not in a run queue when the knock came, ``gap`` after the previous one."""
    if knock.state != "runnable":
        return 1.0
    # The knocker itself may just have preempted the thread: it did if the thread had run until then.
    return min(1.0, knock.ran_before / gap) if gap > 0 else 0.0


def _own_before(knock: Knock, gap: float) -> float:
    if knock.state in ("blocked", None):
        return max(knock.ran_before, gap - knock.queued_before)
    return min(gap, knock.ran_before)  # the present hold is one of computing
