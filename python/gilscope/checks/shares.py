"""What happens to a thread that asks for the GIL at a random moment: the three shares of the checked thread's time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, log, sqrt
from typing import TYPE_CHECKING, Literal

from gilscope.checks.knocks import SampledTime

if TYPE_CHECKING:
    from gilscope.checks.knocks import Wait

LONG_HOLD_SECONDS = 0.001
"""A hold without a break that is longer than this makes the callable a hog."""
MIN_STANDARD_ERRORS_APART = 2.5
"""The largest share must lead the second by this many standard errors."""
MAX_STANDARD_ERROR = 0.1
"""With a larger standard error there are too few samples for a verdict."""
MIN_WAITS_FOR_TURNS = 3
MIN_SHARE_OF_TURNS = 0.2
"""Fewer long waits in which nothing woke the waiting thread are delays of the system."""
MAX_UNCLEAR_PER_CLEAR_WAIT = 9
"""Even on an overloaded machine at most this many waits of a kind are unclear for each clear one."""

Largest = Literal["releases", "yields", "hogs"]


@dataclass(frozen=True)
class Shares:
    """The three shares, which add up to 1, and the waits that they rest on."""

    released: float
    yielded: float
    hogged: float
    largest: Largest
    certain: bool
    """Whether other samples of the same calls would have the same largest share."""
    hogging: tuple[Wait, ...]
    """The waits for the end of a long hold, the longest first."""
    yielding: tuple[Wait, ...]
    """The other waits whose length is clear, the longest first."""
    turns: tuple[Wait, ...] = ()
    """At the program's own switch interval: waits for the turns of several threads, the longest first."""
    unclear: int = 0
    """Waits that may be of either kind."""
    error: float = 0.0
    """Standard error of the largest share."""
    lead: float = 1.0
    """By how much the largest share exceeds the second."""


def shares_of(sampled: SampledTime, *, mean_gap: float) -> Shares:
    """Return the shares of the time that was sampled every ``mean_gap`` seconds on average."""
    # The median sample meets a hold ln 2 mean gaps after its start, so the rest of a long hold is that much shorter.
    return _shares(sampled, limit=LONG_HOLD_SECONDS - mean_gap * log(2), hold=LONG_HOLD_SECONDS)


def shares_of_real_waits(sampled: SampledTime, *, switch_interval: float) -> Shares:
    """Return the shares at the program's own switch interval.

    Hogged is a wait that is longer than a turn of code that yields, because the GIL was released too briefly. Any other long
    wait is for several threads in turns or for a hold without a break, if many waits are so long; else the system kept a
    thread from running.
    """
    limit = longest_turn(switch_interval)
    long = [wait for wait in sampled.waits if wait.least > limit and not was_woken(wait, switch_interval)]
    of_two_calls = [wait for wait in sampled.waits if wait.least > limit and not wait.whole]
    known = {id(wait) for wait in (*long, *of_two_calls)}
    others = [wait for wait in sampled.waits if id(wait) not in known]
    shares = _shares(SampledTime(others, sampled.between), limit=limit, hold=inf)
    if len(long) < max(MIN_WAITS_FOR_TURNS, MIN_SHARE_OF_TURNS * sum(wait.held for wait in sampled.waits)):
        return shares
    return replace(shares, turns=tuple(sorted(long, key=lambda wait: -wait.likely)))


def was_woken(wait: Wait, switch_interval: float) -> bool:
    """Return whether releases ended the sleeps of a wait. Otherwise each sleep lasts a whole switch interval.

    Threads that take turns release the GIL once in each interval, and may wake any thread that waits.
    """
    turns = (wait.end - wait.start) / switch_interval
    return wait.slept is None or wait.slept > (2 * turns if wait.of_other_thread else turns) + 2


def longest_turn(switch_interval: float) -> float:
    """Return how long a thread waits at most for code that yields: the switch interval and the shortest long hold."""
    return switch_interval + LONG_HOLD_SECONDS


def _shares(sampled: SampledTime, *, limit: float, hold: float) -> Shares:
    """Return the shares if a wait longer than ``limit`` is hogged time. ``hold`` is the shortest hold of such waits."""
    held = [wait for wait in sampled.waits if wait.held]
    hogging = [wait for wait in held if wait.least > limit]
    # A hold began after the previous sample. If that was long ago, a short wait may be for the end of a long hold.
    yielding = [wait for wait in held if wait.most <= limit and wait.before + wait.most <= hold]
    known = {id(wait) for wait in (*hogging, *yielding)}
    unclear = [wait for wait in held if id(wait) not in known]
    # Most likely the unclear waits divide like the clear ones. The largest share must be the same however they divide.
    likely = _parts(sampled, hogging, yielding, unclear, _part(hogging, yielding))
    most_hogs, most_yields = (min(1.0, _hidden(clear) / max(len(unclear), 1)) for clear in (hogging, yielding))
    extremes = [_parts(sampled, hogging, yielding, unclear, part) for part in (1 - most_yields, most_hogs)]
    leader = _largest(likely)
    first, second, _ = sorted(likely, reverse=True)
    error = _error(sampled, likely)
    return Shares(
        released=likely[0],
        yielded=likely[1],
        hogged=likely[2],
        largest=leader,
        certain=error < MAX_STANDARD_ERROR
        and first - second > MIN_STANDARD_ERRORS_APART * error
        and all(_largest(parts) == leader for parts in extremes),
        hogging=tuple(sorted(hogging, key=lambda wait: -wait.likely)),
        yielding=tuple(sorted(yielding, key=lambda wait: -wait.likely)),
        unclear=len(unclear),
        error=error,
        lead=first - second,
    )


Parts = tuple[float, float, float]


def _parts(sampled: SampledTime, hogging: list[Wait], yielding: list[Wait], unclear: list[Wait], part: float) -> Parts:
    """Return the three shares if ``part`` of the unclear waits were for the end of a long hold.

    The time of the waits is known. The time between the waits is divided in proportion to the samples (Poisson arrivals
    see time averages).
    """
    weight = sum(wait.weight for wait in sampled.waits)
    scale = sampled.between / weight if weight else 0.0
    times = (
        sum(wait.weight for wait in sampled.waits if not wait.held) * scale,
        sum(wait.weight * scale + wait.likely for wait in yielding)
        + sum(wait.weight * scale + wait.least for wait in unclear) * (1 - part),
        sum(wait.weight * scale + wait.likely for wait in hogging)
        + sum(wait.weight * scale + wait.likely for wait in unclear) * part,
    )
    own = sum(times)
    if not own:
        return 0.0, 0.0, 0.0
    return times[0] / own, times[1] / own, times[2] / own


def _hidden(clear: list[Wait]) -> float:
    """Return how many unclear waits may be of the kind of these clear ones (95 % bound of a Poisson count)."""
    return MAX_UNCLEAR_PER_CLEAR_WAIT * (len(clear) + 3)


def _part(hogging: list[Wait], yielding: list[Wait]) -> float:
    hogged, yielded = (sum(wait.weight for wait in waits) for waits in (hogging, yielding))
    return hogged / (hogged + yielded) if hogged + yielded else 0.0


def _largest(parts: Parts) -> Largest:
    released, yielded, hogged = parts
    return "releases" if released >= max(yielded, hogged) else "yields" if yielded >= hogged else "hogs"


def _error(sampled: SampledTime, parts: Parts) -> float:
    """Return the standard error of the largest share: the time between the waits is known from samples only."""
    weight = sum(wait.weight for wait in sampled.waits)
    total = sampled.between + sum(wait.likely for wait in sampled.waits if wait.held)
    if not total:
        return 1.0
    share = max(parts)
    spread = sqrt(max(share * (1 - share), 1 / (weight + 1)) / weight) if weight else 1.0
    return min(1.0, spread) * sampled.between / total
