"""What the event loops of a watched process do at one moment. Frozen records; durations are float seconds."""

from __future__ import annotations

from typing import Literal

from gilscope.records.base import Amount, Record
from gilscope.records.stall import Thread

LoopDoing = Literal["idle", "busy", "starved", "blocked"]
"""What a loop does.

``idle``: its thread sleeps in its selector, until there is something to do. ``busy``: it runs callbacks, and is not late.
``starved``: it is late by more than the threshold of a stall, and its thread has mostly waited for the GIL since. ``blocked``: it
is late by more than the threshold in its own callback, which computes or waits.
"""


class LoopState(Record, frozen=True, kw_only=True):
    """What one event loop does."""

    loop: int
    """The loop's number, as in ``Stall.loop``."""
    thread: Thread
    """The loop's thread."""
    state: LoopDoing
    age: Amount
    """For how long the loop has not been known to respond: 0 if it is idle, else the time since its last heartbeat. Time in
    which the watch itself did not run does not count: the process was stopped, or the machine was suspended."""


class WatchState(Record, frozen=True, kw_only=True):
    """What the event loops of this process do. The worst one counts: a late one, and of several the one with the highest age."""

    state: LoopDoing
    """``idle`` if no loop runs."""
    age: Amount | None
    """The age of the worst loop's last heartbeat; ``None`` if no loop runs."""
    loops: tuple[LoopState, ...]
    """All loops that run, the worst first."""
