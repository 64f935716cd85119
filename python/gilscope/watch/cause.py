"""Decides a stall's cause and its culprit from the evidence. If the evidence is not enough, the cause is unknown.

There are two kinds of cause. Some make a stall by themselves: the loop's own callback, and a thread that does not release the
GIL. Others make a short delay longer: other threads' turns at the GIL, and a lack of CPU. So whatever took longer than the
threshold by itself is the cause, however much the others have prolonged it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gilscope._core import LONG_HOLD_SWITCH_INTERVALS
from gilscope.records.stall import Cause, Contender, Evidence, Stall
from gilscope.watch import stack as frames
from gilscope.watch.native import evidence, stack, thread

if TYPE_CHECKING:
    from gilscope._core import StallReport
    from gilscope.records.stall import Frame, Thread

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

REMEDY: dict[Cause, str] = {
    "blocked, computing": "Move the work to a thread if it releases the GIL (`gilscope check` finds out), else to a process.",
    "blocked, waiting": "Await an asynchronous version of the call, or run it in a thread: asyncio.to_thread(...).",
    "starved by a hog": "The call does not release the GIL: run it in a process, do less at a time, or release the GIL in it.",
    "starved by turns": "Run fewer Python threads beside the loop, or move their work to processes.",
    "no CPU": "Something else used the CPU: leave the loop a core, or raise the container's CPU limit.",
    "garbage collection": "Call gc.freeze() once everything is loaded, raise gc.set_threshold(), or create fewer reference cycles.",
    "unknown": "The evidence is not enough to decide; the stall's figures are in the JSON report.",
}


class TimeSpent(NamedTuple):
    """What a stall's time was spent on, in seconds."""

    computing: float
    waiting: float
    hog: float
    turns: float
    no_cpu: float


def judge(report: StallReport, *, stall: float, began: float, reads_gil: bool) -> Stall:
    """Return the record of a native ``report``. ``stall`` is the threshold, and ``began`` is when the watch began."""
    seen = evidence(report)
    duration = report.came - report.due
    own_thread, own_stack = thread(report.thread), stack(report.loop_stack)
    decide = cause if reads_gil else cause_without_gil
    why = decide(seen, duration=duration, threshold=stall)
    culprit_thread, culprit_stack = _culprit(why, seen, own_thread, own_stack)
    return Stall(
        loop=report.loop,
        thread=own_thread,
        start=report.due - began,
        duration=duration,
        noticed=None if report.noticed is None else report.noticed - began,
        noticed_holder=None if report.noticed_holder is None else thread(report.noticed_holder),
        cause=why,
        culprit=frames.culprit(culprit_stack),
        culprit_thread=culprit_thread,
        stack=culprit_stack,
        callback=frames.callback(frames.callback_frames(own_stack)),
        task=report.task,
        coroutine=report.coroutine,
        loop_stack=own_stack,
        evidence=seen,
    )


def cause(seen: Evidence, *, duration: float, threshold: float) -> Cause:
    """Return the cause that the sampler's evidence shows."""
    spent = time_spent(seen)
    sole: dict[Cause, float] = {
        "blocked, computing": spent.computing,
        "blocked, waiting": spent.waiting,
        "starved by a hog": spent.hog,
    }
    prolonging: dict[Cause, float] = {"starved by turns": spent.turns, "no CPU": spent.no_cpu}
    why = max(sole, key=sole.__getitem__)
    if sole[why] < min(threshold, MIN_SHARE_OF_CAUSE * duration):
        why = max(prolonging, key=prolonging.__getitem__)
        if prolonging[why] < MIN_SHARE_OF_CAUSE * duration:
            return "unknown"
    if why == "blocked, computing" and _only_by_gc(seen.collected, seen.held, threshold):
        return "garbage collection"
    hog = _hog(seen)
    if why == "starved by a hog" and hog and _only_by_gc(hog.collected, hog.held, threshold):
        return "garbage collection"
    return why


def time_spent(seen: Evidence) -> TimeSpent:
    """Return what the loop's time was spent on, as far as that was seen."""
    # The samples show what the thread was doing; the system counts how much of that was CPU time and run-queue delay.
    on_cpu = seen.held + seen.ran_without_gil
    ran = on_cpu if seen.ran is None else seen.ran
    queued = min(seen.queued or 0.0, on_cpu)
    share_running = 1 - queued / on_cpu if on_cpu else 0.0
    ran_without_gil = min(seen.ran_without_gil * share_running, ran)
    by_hog = sum(contender.held_long for contender in seen.contenders) >= MIN_SHARE_OF_CAUSE * seen.waited
    # CPU time beyond what the samples show was used while the sampler did not run.
    unseen = max(0.0, seen.unsampled - max(0.0, ran - on_cpu))
    by_turns = not by_hog and seen.switches >= MIN_SWITCHES_FOR_TURNS
    # One hold all along, and not long in CPU time: the thread that held the GIL was not running.
    holder_queued = 0.0 if by_hog or by_turns else seen.waited
    return TimeSpent(
        computing=seen.held * share_running,
        waiting=seen.slept + ran_without_gil,
        hog=seen.waited if by_hog else 0.0,
        turns=seen.waited if by_turns else 0.0,
        no_cpu=queued + unseen + holder_queued + max(0.0, seen.ran_without_gil * share_running - ran_without_gil),
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


def _only_by_gc(collected: float, held: float, threshold: float) -> bool:
    """Whether a thread's hold would not have been a stall without the garbage collector, which can also prolong a hold."""
    return collected >= NEARLY_ALL * held > 0 or (
        collected >= MIN_SHARE_OF_CAUSE * held > 0 and held - collected < threshold
    )


def _hog(seen: Evidence) -> Contender | None:
    return max(seen.contenders, key=lambda contender: contender.held_long, default=None)


def _culprit(
    why: Cause, seen: Evidence, loop: Thread, own_stack: tuple[Frame, ...]
) -> tuple[Thread | None, tuple[Frame, ...]]:
    if why in {"no CPU", "unknown"}:
        return None, ()
    if why.startswith("blocked") or (why == "garbage collection" and seen.collected > 0):
        # If the loop had moved on when its stack was taken, this is empty.
        return loop, frames.callback_frames(own_stack)
    if why == "starved by turns":
        # Of the threads with a stack, name the one that held the GIL for longest.
        culprit = max(seen.contenders, key=lambda contender: (bool(contender.stack), contender.held), default=None)
    else:
        culprit = _hog(seen)
    return (culprit.thread, culprit.stack) if culprit else (None, ())
