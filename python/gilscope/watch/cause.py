"""Which cause a stall's evidence shows, and who did it. Where it decides nothing, the cause is unknown: no guess is made.

Two kinds of cause are told apart. Some make a stall by themselves: the loop's own callback, and a thread that does not let
go of the GIL. Others stretch what would have been done soon: other threads' turns at the GIL, and want of a processor. So
whatever took longer than the threshold by itself is the cause, however much the others have stretched it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gilscope.records.stall import Cause, Evidence, Rival, Stall
from gilscope.watch import stack as frames
from gilscope.watch.native import evidence, stack, thread

if TYPE_CHECKING:
    from gilscope.records.stall import Frame, Thread
    from gilscope.watch.native import StallReport

MOST = 0.5
"""The share of a stall that a cause must explain."""
ALL_BUT = 0.9
"""The share of a whole that is as good as all of it."""
TURNS = 2
"""How often the GIL must have gone to another thread for that to be turns."""
HANDED_OVER = 0.002
"""A witness that waits less than this for the GIL has found it free."""
EARLY = 0.25
"""The share of a stall that must have been left when the witness asked."""
LONG = 0.02
"""A witness that waits longer than this has met a hold that outlasts four usual switch intervals."""

REMEDY: dict[Cause, str] = {
    "blocked, computing": "Move the work to a thread if it releases the GIL (`gilscope check` tells), else to a process.",
    "blocked, waiting": "Await an asynchronous version of the call, or hand it to a thread: asyncio.to_thread(...).",
    "starved by a hog": "The call keeps the GIL all the way: run it in a process, do less at a time, or release the GIL in it.",
    "starved by turns": "Run fewer Python threads beside the loop, or move their work to processes.",
    "no CPU": "The system ran something else: leave the loop a core, or raise the container's CPU limit.",
    "garbage collection": "Call gc.freeze() once everything is loaded, raise gc.set_threshold(), or make less cyclic garbage.",
    "unknown": "The evidence decides nothing; the stall's figures are in the JSON report.",
}


class Shares(NamedTuple):
    """A stall's time, by what it was spent on, in seconds."""

    computing: float
    waiting: float
    hog: float
    turns: float
    no_cpu: float


def judge(report: StallReport, *, stall: float, began: float, reads_gil: bool) -> Stall:
    """Make a record of a native ``report``: ``stall`` is the threshold, ``began`` when the watch did."""
    seen = evidence(report)
    duration = report["came"] - report["due"]
    own_stack = stack(report, report["thread"]["ident"])
    tell = cause if reads_gil else cause_without_gil
    why = tell(seen, duration=duration, threshold=stall)
    culprit_thread, culprit_stack = _culprit(why, seen, thread(report["thread"]), own_stack)
    return Stall(
        loop=report["loop"],
        thread=thread(report["thread"]),
        start=report["due"] - began,
        duration=duration,
        noticed=None if report["noticed"] is None else report["noticed"] - began,
        noticed_holder=None if report["holder"] is None else thread(report["holder"]),
        cause=why,
        culprit=frames.culprit(culprit_stack),
        culprit_thread=culprit_thread,
        stack=culprit_stack,
        callback=frames.callback(own_stack),
        task=report["task"],
        coroutine=report["coroutine"],
        loop_stack=own_stack,
        evidence=seen,
    )


def cause(seen: Evidence, *, duration: float, threshold: float) -> Cause:
    """Return the cause that the sampler's evidence shows."""
    spent = shares(seen)
    sole: dict[Cause, float] = {
        "blocked, computing": spent.computing,
        "blocked, waiting": spent.waiting,
        "starved by a hog": spent.hog,
    }
    stretching: dict[Cause, float] = {"starved by turns": spent.turns, "no CPU": spent.no_cpu}
    why = max(sole, key=sole.__getitem__)
    if sole[why] < min(threshold, MOST * duration):
        why = max(stretching, key=stretching.__getitem__)
        if stretching[why] < MOST * duration:
            return "unknown"
    if why == "blocked, computing" and _by_collecting(seen.collected, seen.held, threshold):
        return "garbage collection"
    hog = _hog(seen)
    if why == "starved by a hog" and hog and _by_collecting(hog.collected, hog.held, threshold):
        return "garbage collection"
    return why


def shares(seen: Evidence) -> Shares:
    """Return what the loop's time was spent on, as far as that was seen."""
    # Samples tell what the thread was about; the system's accounts, how much of that it ran, or stood in a run queue.
    on_cpu = seen.held + seen.ran_free
    ran = on_cpu if seen.ran is None else seen.ran
    queued = min(seen.queued or 0.0, on_cpu)
    had = 1 - queued / on_cpu if on_cpu else 0.0
    ran_free = min(seen.ran_free * had, ran)
    by_hog = sum(rival.held_long for rival in seen.rivals) >= MOST * seen.waited
    # What it ran beyond what samples show, it ran while the sampler was not run.
    unseen = max(0.0, seen.unsampled - max(0.0, ran - on_cpu))
    by_turns = not by_hog and seen.switches >= TURNS
    # One hold all along, and not a long one in processor time: its holder was not run.
    holder_queued = 0.0 if by_hog or by_turns else seen.waited
    return Shares(
        computing=seen.held * had,
        waiting=seen.slept + ran_free,
        hog=seen.waited if by_hog else 0.0,
        turns=seen.waited if by_turns else 0.0,
        no_cpu=queued + unseen + holder_queued + max(0.0, seen.ran_free * had - ran_free),
    )


def cause_without_gil(seen: Evidence, *, duration: float, threshold: float) -> Cause:
    """Return the cause that is left to tell where the GIL cannot be read: by the witness's wait, and by the processors."""
    enough = min(threshold, MOST * duration)
    queued, ran = seen.queued or 0.0, seen.ran or 0.0
    waited = None if _came_late(seen, duration) else seen.witness_waited
    if queued + seen.unsampled >= ALL_BUT * duration:
        return "no CPU"
    if seen.slept >= enough:
        return "blocked, waiting"
    if waited is not None and ran >= enough:
        return "blocked, waiting" if waited < HANDED_OVER else "blocked, computing"
    if waited is not None and seen.unknown >= MOST * duration:
        starved: Cause = "starved by a hog" if waited > LONG else "starved by turns"
        return "blocked, waiting" if waited < HANDED_OVER else starved
    return "no CPU" if queued >= MOST * duration else "unknown"


def _came_late(seen: Evidence, duration: float) -> bool:
    """Whether the witness asked for the GIL when the stall was almost over: a short wait shows nothing then."""
    if seen.witness_waited is None or seen.stacks_age is None:
        return False
    return seen.witness_waited - seen.stacks_age < EARLY * duration


def _by_collecting(collected: float, held: float, threshold: float) -> bool:
    """Whether what a thread did would have been no stall without the garbage collector: that stretches, too."""
    return collected >= ALL_BUT * held > 0 or (collected >= MOST * held > 0 and held - collected < threshold)


def _hog(seen: Evidence) -> Rival | None:
    return max(seen.rivals, key=lambda rival: rival.held_long, default=None)


def _culprit(
    why: Cause, seen: Evidence, loop: Thread, own_stack: tuple[Frame, ...]
) -> tuple[Thread | None, tuple[Frame, ...]]:
    if why in {"no CPU", "unknown"}:
        return None, ()
    if why.startswith("blocked") or (why == "garbage collection" and seen.collected > 0):
        # A stack that was taken when the loop had gone on shows nothing.
        return loop, frames.within(own_stack)
    if why == "starved by turns":
        # Whoever held it most and has a stack stands for them all.
        rival = max(seen.rivals, key=lambda rival: (bool(rival.stack), rival.held), default=None)
    else:
        rival = _hog(seen)
    return (rival.thread, rival.stack) if rival else (None, ())
