"""The rule that makes shares a verdict, or leaves it undecided: a wrong verdict is worse than none."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from gilscope.checks.shares import LONG_HOLD_SECONDS
from gilscope.formatting import counted, duration

if TYPE_CHECKING:
    from gilscope.checks.shares import Shares
    from gilscope.records.verdict import Background, Kind, Reason

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
MIN_LONG_HOLDS = 5
"""Needed if the system does not report run-queue delays: one long wait may have been a delay."""


class Ruling(NamedTuple):
    """The kind of a verdict; for ``undecided`` the reason, and an explanation with figures."""

    kind: Kind
    reason: Reason = ""
    explanation: str = ""


def rule(shares: Shares, call: float, background: Background, *, samples: int, delays_known: bool) -> Ruling:
    """Return the ruling on calls of ``call`` seconds each.

    ``delays_known`` says whether the time that threads spent in run queues has been subtracted.
    """
    # A callable that seems to hog is no exception: a thread that yields holds the GIL while it waits for a CPU.
    if shares.largest != "releases" and background.held > MAX_BACKGROUND_HELD:
        return Ruling(
            "undecided",
            "something else held the GIL",
            f"before the call, another thread of this process held the GIL {background.held:.0%} of the time, and the "
            "samples may have met that thread instead of the call.",
        )
    if shares.largest != "releases" and _too_short(shares, call):
        return Ruling(
            "undecided",
            "too short",
            f"a call takes {duration(call)} and holds the GIL. It ends before it could show whether it yields the GIL.",
        )
    few_holds = shares.largest == "hogs" and not delays_known and len(shares.hogging) < MIN_LONG_HOLDS
    if not shares.certain or few_holds:
        return Ruling(
            "undecided",
            "too few samples",
            f"it seems to release the GIL {shares.released:.0%}, yield it {shares.yielded:.0%} and hog it "
            f"{shares.hogged:.0%} of the time, but that rests on {counted(samples, 'sample')}, too few to be sure.",
        )
    return Ruling(shares.largest)


def _too_short(shares: Shares, call: float) -> bool:
    if call < MIN_CALL_SECONDS:
        return True
    if shares.largest == "hogs":
        return call < MIN_HOGGING_CALL_SECONDS
    waits = [wait.likely for wait in shares.yielding]
    return call < MIN_YIELDING_CALL_SECONDS and bool(waits) and median(waits) > MAX_MEDIAN_WAIT_SHARE * call
