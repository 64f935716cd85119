"""Where the time of event loops goes. Frozen records; durations are float seconds."""

from __future__ import annotations

from typing import Literal

from gilscope.records.base import Amount, Record
from gilscope.records.stall import Frame, Thread

LoopDoing = Literal["computing", "waiting for the GIL", "blocked", "no CPU", "unknown"]
"""What the thread of a busy loop does.

``computing``: it holds the GIL. ``waiting for the GIL``: another thread holds it. ``blocked``: it sleeps in the kernel for
something else than its selector, or runs without the GIL. ``no CPU``: it is runnable, and does not run.
"""


ENDED_LOOPS = 0
"""The number of all the loops that have ended and share their time."""


class LoopTime(Record, frozen=True, kw_only=True):
    """The time of one event loop, added up since its first sample. Subtract two records of a loop to get a rate."""

    loop: int
    """The loop's number, as in ``Stall.loop``; ``ENDED_LOOPS`` for all the loops that share one sum, because there were too many."""
    thread: Thread
    """The loop's thread."""
    busy: Amount
    """Not asleep in its selector."""
    asleep: Amount
    """Asleep in its selector."""
    saturated: Amount = 0.0
    """In stretches of 10 s or longer over which the loop was busy for more than 90 % of the time."""


class BusyStack(Record, frozen=True, kw_only=True):
    """The time in which a busy loop did one thing at one stack."""

    loop: int
    """The loop's number."""
    doing: LoopDoing
    seconds: Amount
    frames: tuple[int, ...]
    """The callback's frames as indices into ``TimeTree.frames``, outermost first, without those of the event loop that called
    it. Empty if the stack was not read."""
    culprit: int | None = None
    """The innermost frame of the user's code, as in ``Stall.culprit``; an index into ``TimeTree.frames``."""
    task: str | None = None
    """The name of the task that ran."""
    coroutine: str | None = None
    """The coroutine of that task."""
    holder: str | None = None
    """While the loop's thread waited for the GIL: the thread that held it."""
    held_at: int | None = None
    """The holder's culprit line as an index into ``TimeTree.frames``."""


class TimeTree(Record, frozen=True, kw_only=True):
    """What busy event loops did, by stack. Its size is bounded: what is too small to keep apart counts without frames."""

    frames: tuple[Frame, ...]
    """Each frame once."""
    stacks: tuple[BusyStack, ...]
    """The one with most time first."""
