"""What the evidence of a stall says of its cause. If the evidence is not enough, the cause is unknown.

There are two kinds of cause. Some make a stall by themselves: the loop's own callback, and a thread that does not release the
GIL. Others make a short delay longer: other threads' turns at the GIL, and a lack of CPU. So whatever took longer than the
threshold by itself is the cause, however much the others have prolonged it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from gilscope._core import LONG_HOLD_SWITCH_INTERVALS
from gilscope.records.remedies import REMEDY_OF_CAUSE

if TYPE_CHECKING:
    from gilscope.records.stall import Cause, Contender, Evidence

MIN_SHARE_OF_CAUSE = 0.5
"""A cause must explain this share of a stall."""
NEARLY_ALL = 0.9
"""This share of a whole counts as all of it."""
MIN_SWITCHES_FOR_TURNS = 2
"""Threads take turns if the GIL has changed hands this often."""
MAX_SECONDS_TO_ACQUIRE_FREE_GIL = 0.002
"""If the prober waited less than this, the GIL was free."""
MIN_SHARE_LEFT_TO_PROBE = 0.25
"""If less of the stall was left when the prober asked for the GIL, its wait shows nothing."""
USUAL_SWITCH_INTERVAL = 0.005
"""Seconds."""
LONG_HOLD_SECONDS = LONG_HOLD_SWITCH_INTERVALS * USUAL_SWITCH_INTERVAL
"""If the prober waited longer than this, it waited for a hog."""

REMEDY = REMEDY_OF_CAUSE

SOLE: tuple[Cause, ...] = ("blocked, computing", "blocked, waiting", "starved by a hog")
"""What makes a stall by itself."""
PROLONGING: tuple[Cause, ...] = ("starved by turns", "no CPU")
"""What makes a short delay longer."""

Starving = Literal["a hog", "turns", "no CPU"]
"""What a loop waits for that waits for the GIL: a long hold, short holds in turns, or a thread that is not running."""


class TimeSpent(NamedTuple):
    """What a stall's time was spent on, in seconds."""

    computing: float
    waiting: float
    hog: float
    turns: float
    no_cpu: float

    def by_cause(self) -> dict[Cause, float]:
        return dict(zip((*SOLE, *PROLONGING), self, strict=True))


def possible_causes(spent: dict[Cause, float], *, duration: float, threshold: float) -> tuple[Cause, ...]:
    """Return the causes that may be a stall's, given the seconds that each took; none if they do not explain it.

    One that would have been a stall by itself comes before those that prolong one. A cause that took less than half of the
    time of another one of its kind is not the stall's, whatever a single line of it took.
    """
    for kind, needed in (
        (SOLE, min(threshold, MIN_SHARE_OF_CAUSE * duration)),
        (PROLONGING, MIN_SHARE_OF_CAUSE * duration),
    ):
        most = max(spent.get(why, 0.0) for why in kind)
        if most >= needed and most > 0:
            return tuple(why for why in kind if spent.get(why, 0.0) >= max(needed, MIN_SHARE_OF_CAUSE * most))
    return ()


def starved_by(seen: Evidence) -> Starving:
    """Return what a loop waited for that waited for the GIL."""
    if sum(contender.held_long for contender in seen.contenders) >= MIN_SHARE_OF_CAUSE * (seen.waited or seen.unknown):
        return "a hog"
    # One hold all along, and not long in CPU time: the thread that held the GIL was not running.
    return "turns" if seen.switches >= MIN_SWITCHES_FOR_TURNS else "no CPU"


def time_spent(seen: Evidence, starving: Starving | None = None, whole: Evidence | None = None) -> TimeSpent:
    """Return what the loop's time was spent on, as far as that was seen.

    ``starving`` is what the loop waited for the GIL for. If this is a part of a stall, ``whole`` is the evidence of all of it:
    the system counts run-queue delay only when a thread runs again, which may be in the next part.
    """
    whole = whole or seen
    starving = starving or starved_by(whole)
    # The samples show what the thread was doing; the system counts how much of that was CPU time and run-queue delay.
    on_cpu = whole.held + whole.ran_without_gil
    ran = on_cpu if whole.ran is None else whole.ran
    running = 1 - min(whole.queued or 0.0, on_cpu) / on_cpu if on_cpu else 0.0
    without_gil = whole.ran_without_gil * running
    ran_without_gil = min(1.0, ran / without_gil) if without_gil else 0.0
    # CPU time beyond what the samples show was used while the sampler did not run.
    unseen = max(0.0, whole.unsampled - max(0.0, ran - on_cpu)) / whole.unsampled if whole.unsampled else 0.0
    without_gil = seen.ran_without_gil * running
    waited = {"a hog": 0.0, "turns": 0.0, "no CPU": 0.0, starving: seen.waited}
    return TimeSpent(
        computing=seen.held * running,
        waiting=seen.slept + without_gil * ran_without_gil,
        hog=waited["a hog"],
        turns=waited["turns"],
        no_cpu=(seen.held + seen.ran_without_gil) * (1 - running)
        + seen.unsampled * unseen
        + waited["no CPU"]
        + without_gil * (1 - ran_without_gil),
    )


def cause_without_gil(seen: Evidence, *, duration: float, threshold: float) -> Cause:
    """Return the cause if the GIL cannot be read, from the prober's wait and from the CPU times."""
    enough = min(threshold, MIN_SHARE_OF_CAUSE * duration)
    queued, ran = seen.queued or 0.0, seen.ran or 0.0
    waited = None if _probed_late(seen, duration) else seen.prober_waited
    if queued + seen.unsampled >= NEARLY_ALL * duration:
        return "no CPU"
    if seen.slept >= enough:
        return "blocked, waiting"
    if waited is not None and ran >= enough:
        return "blocked, waiting" if waited < MAX_SECONDS_TO_ACQUIRE_FREE_GIL else "blocked, computing"
    if waited is not None and seen.unknown >= MIN_SHARE_OF_CAUSE * duration:
        starved: Cause = "starved by a hog" if waited > LONG_HOLD_SECONDS else "starved by turns"
        return "blocked, waiting" if waited < MAX_SECONDS_TO_ACQUIRE_FREE_GIL else starved
    return "no CPU" if queued >= MIN_SHARE_OF_CAUSE * duration else "unknown"


def _probed_late(seen: Evidence, duration: float) -> bool:
    """Whether the prober asked for the GIL when the stall was almost over: then a short wait shows nothing."""
    if seen.prober_waited is None or seen.stacks_age is None:
        return False
    return seen.prober_waited - seen.stacks_age < MIN_SHARE_LEFT_TO_PROBE * duration


def only_by_gc(collected: float, held: float, threshold: float) -> bool:
    """Whether a thread's hold would not have been a stall without the garbage collector, which can also prolong a hold."""
    return collected >= NEARLY_ALL * held > 0 or (
        collected >= MIN_SHARE_OF_CAUSE * held > 0 and held - collected < threshold
    )


def top_hog(seen: Evidence) -> Contender | None:
    """Return the thread that held the GIL for longest in long holds."""
    return max(seen.contenders, key=lambda contender: contender.held_long, default=None)
