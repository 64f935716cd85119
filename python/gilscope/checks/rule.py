"""The word on what was measured, or why there is none: a number is an honest answer, a wrong word is not."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from gilscope.checks.shares import STRETCH
from gilscope.formatting import duration

if TYPE_CHECKING:
    from gilscope.checks.shares import Shares
    from gilscope.records.verdict import Baseline, Kind

BRIEF = STRETCH / 2
"""Of a call shorter than this nobody can tell whether it would yield."""
EDGE = 1.4
"""A call of this many times a stretch, or less, that keeps the GIL to its end may be on either side of the rule."""
BRIEFEST_EDGE = 2
TO_THE_END = 0.3
"""A knock that comes at random in a call that keeps the GIL to its end waits for half of it; one in a call that yields
waits for a switch interval. Where the waits' median is above this share of the call, it keeps it."""
MASKED = 0.25
"""Where something else held the GIL for more than this share of the time, what was met may have been that."""
FEW_STRETCHES = 5
"""Without knowing of run queues: one long wait does not make a hog."""


def rule(shares: Shares, call: float, baseline: Baseline, *, corrected: bool) -> tuple[Kind, str]:
    """Return the verdict's kind for calls that take ``call``; if it is ``too short``, why and what would settle it.

    ``corrected`` tells whether time in run queues has been taken off.
    """
    # Also where it seemed to hog: a thread that yields keeps the GIL for as long as the system does not run it.
    if shares.word != "releases" and baseline.held > MASKED:
        return "too short", (
            f"something else in this process held the GIL for {baseline.held:.0%} of the time before the call, and "
            "what was met during it may have been that. Check it in a process of its own."
        )
    if shares.word != "releases" and _brief(shares, call):
        return "too short", (
            f"a call of {duration(call)} that keeps the GIL is over before anyone could tell whether it would give it "
            f"up. Give it more work at a time: {duration(BRIEFEST_EDGE * STRETCH)} or more a call."
        )
    if not shares.sure or (shares.word == "hogs" and not corrected and len(shares.hogging) < FEW_STRETCHES):
        return "too short", (
            f"it released the GIL {shares.released:.0%}, yielded it {shares.yielded:.0%} and hogged it "
            f"{shares.hogged:.0%} of the time, but the few knocks that this rests on could say otherwise. Check it for "
            "longer (time=5), or on a machine with less load."
        )
    return shares.word, ""


def _brief(shares: Shares, call: float) -> bool:
    if call < BRIEF:
        return True
    if shares.word == "hogs":
        return call < EDGE * STRETCH
    kept = [wait.likely for wait in shares.yielding]
    return call < BRIEFEST_EDGE * STRETCH and bool(kept) and median(kept) > TO_THE_END * call
