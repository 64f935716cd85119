"""The rule that makes shares a verdict, or leaves it undecided: a wrong verdict is worse than none."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from gilscope.checks.shares import LONG_HOLD_SECONDS, MAX_STANDARD_ERROR, MIN_STANDARD_ERRORS_APART
from gilscope.formatting import counted, duration

if TYPE_CHECKING:
    from gilscope.checks.shares import Largest, Shares
    from gilscope.records.verdict_parts import Background, Kind, Reason

MIN_CALL_SECONDS = LONG_HOLD_SECONDS / 2
"""A shorter call that holds the GIL ends before it could show whether it yields."""
MIN_HOGGING_CALL_SECONDS = 1.4 * LONG_HOLD_SECONDS
"""A shorter call that holds the GIL to its end may be just below or just above a long hold."""
MIN_YIELDING_CALL_SECONDS = 2 * LONG_HOLD_SECONDS
"""A shorter call may seem to yield because it ends: see ``MAX_MEDIAN_WAIT_SHARE``."""
MAX_MEDIAN_WAIT_SHARE = 0.3
"""Above this share of the call, the median wait shows that the call holds the GIL to its end.

A random sample waits for half of such a call, but only for a switch interval if the call yields.
"""
MAX_BACKGROUND_HELD = 0.25
"""If something else held the GIL for a larger share of the time, the samples may have met that instead of the call."""
LONGER_DIVIDES_ERROR_BY = 3
"""Measuring ten times as long divides the standard error by this: a lead that is still too small then is a tie."""
MIN_STARVED_SHARE = 0.1
"""If a thread waits longer than a turn for this share of the time, the call does not yield."""
MIN_STARVED_WAITS = 3
"""Needed if that is not most of the time,"""
MIN_SECONDS_OF_ONE_STARVED_WAIT = 0.1
"""or one wait of this length: releases have woken the thread again and again in it, and it never acquired the GIL."""
MIN_REAL_WAITS = 3
"""Needed to say that a call yields: on a busy machine the sampling thread may miss a whole call."""
MIN_LONG_HOLDS = 5
"""Needed if the system does not report run-queue delays: one long wait may have been a delay."""


class Ruling(NamedTuple):
    """The kind of a verdict; for ``undecided`` and for a hog that seems to yield the reason, and an explanation with figures."""

    kind: Kind
    reason: Reason = ""
    explanation: str = ""


def rule(
    shares: Shares,
    call: float,
    background: Background,
    *,
    samples: int,
    delays_known: bool,
    real: Shares | None = None,
) -> Ruling:
    """Return the ruling on calls of ``call`` seconds each.

    ``delays_known`` says whether the time that threads spent in run queues has been subtracted. ``real`` are the shares at
    the program's own switch interval: what a thread really waits for there decides.
    """
    starves = real is not None and shares.largest != "hogs" and may_starve(real, shares.largest)
    # A callable that seems to hog is no exception: a thread that yields holds the GIL while it waits for a CPU.
    if (shares.largest != "releases" or starves) and background.held > MAX_BACKGROUND_HELD:
        return Ruling(
            "undecided",
            "something else held the GIL",
            f"before the call, another thread of this process held the GIL {background.held:.0%} of the time, and the "
            "samples may have met that thread instead of the call.",
        )
    if real is not None and starves:
        return _starving(real)
    if shares.largest != "releases" and not _may_release(shares) and _too_short(shares, call):
        return Ruling(
            "undecided",
            "too short",
            f"a call takes {duration(call)} and holds the GIL. It ends before it could show whether it yields the GIL.",
        )
    few_holds = shares.largest == "hogs" and not delays_known and len(shares.hogging) < MIN_LONG_HOLDS
    if not shares.certain or few_holds:
        return _uncertain(shares, samples)
    return _certain(shares, real)


def may_starve(real: Shares, largest: Largest) -> bool:
    """Return whether a thread waits for the GIL although the call yields it whenever it is asked.

    How often such a thread is lucky depends on the machine: on a single core it preempts the call when it is woken. So a
    small share of the time is enough, unless the GIL is free for most of it.
    """
    return real.largest == "hogs" or (largest == "yields" and real.hogged >= MIN_STARVED_SHARE)


def surely_starves(real: Shares) -> bool:
    """Return whether the evidence that a thread waits is enough, if :func:`may_starve` is true."""
    one_suffices = any(wait.least > MIN_SECONDS_OF_ONE_STARVED_WAIT for wait in real.hogging)
    return (real.largest == "hogs" and real.certain) or one_suffices or len(real.hogging) >= MIN_STARVED_WAITS


def _starving(real: Shares) -> Ruling:
    """Return the ruling on a call for which :func:`may_starve` is true."""
    if surely_starves(real):
        return Ruling("hogs", "brief releases")
    return Ruling(
        "undecided",
        "too few samples",
        f"it releases the GIL again and again, and a thread that waited for the GIL waited up to {duration(_longest(real))} "
        f"all the same, but that rests on {counted(len(real.hogging), 'wait')}, too few to be sure.",
    )


def _certain(shares: Shares, real: Shares | None) -> Ruling:
    """Return the ruling on shares that are certain."""
    if shares.largest == "yields" and real is not None and _held(real) < MIN_REAL_WAITS:
        return Ruling(
            "undecided",
            "too few samples",
            f"it yields at a lowered switch interval, but at the program's own it was seen in {counted(_held(real), 'wait')}, too "
            "few to be sure.",
        )
    if shares.largest == "hogs" and real is not None and real.hogging and _longest(real) > 2 * _longest(shares):
        return Ruling("hogs", "brief releases")
    return Ruling(shares.largest)


def _uncertain(shares: Shares, samples: int) -> Ruling:
    """Return why the shares decide nothing, and only the reason that measuring longer would not change."""
    seems = (
        f"it seems to release the GIL {shares.released:.0%}, yield it {shares.yielded:.0%} and hog it "
        f"{shares.hogged:.0%} of the time, but "
    )
    held = shares.unclear + _clear(shares)
    if shares.error < MAX_STANDARD_ERROR and shares.unclear > held / 2:
        return Ruling(
            "undecided",
            "unclear waits",
            f"{seems}of {counted(held, 'wait')} {shares.unclear / held:.0%} may have been "
            "long only because the thread that asked for the GIL waited for a CPU.",
        )
    enough_samples = shares.error < MAX_STANDARD_ERROR / 2
    if enough_samples and shares.lead * LONGER_DIVIDES_ERROR_BY < MIN_STANDARD_ERRORS_APART * shares.error:
        return Ruling("undecided", "a tie", f"{seems}the largest two shares are as good as equal.")
    return Ruling(
        "undecided", "too few samples", f"{seems}that rests on {counted(samples, 'sample')}, too few to be sure."
    )


def _clear(shares: Shares) -> int:
    return len(shares.hogging) + len(shares.yielding)


def _held(shares: Shares) -> int:
    return _clear(shares) + shares.unclear + len(shares.turns)


def _longest(shares: Shares) -> float:
    return max((wait.likely for wait in (*shares.hogging[:1], *shares.yielding[:1])), default=0.0)


def _may_release(shares: Shares) -> bool:
    """Return whether other samples of the same calls might have shown that it releases the GIL."""
    largest = max(shares.yielded, shares.hogged)
    return not shares.certain and largest - shares.released < MIN_STANDARD_ERRORS_APART * shares.error


def _too_short(shares: Shares, call: float) -> bool:
    if call < MIN_CALL_SECONDS:
        return True
    if shares.largest == "hogs":
        return call < MIN_HOGGING_CALL_SECONDS
    waits = [wait.likely for wait in shares.yielding]
    return call < MIN_YIELDING_CALL_SECONDS and bool(waits) and median(waits) > MAX_MEDIAN_WAIT_SHARE * call
