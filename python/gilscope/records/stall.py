"""What is known of one stall: frozen records, which the native watcher's plain data becomes.

Durations are float seconds; a moment is in seconds since the watch began.
"""

from __future__ import annotations

from typing import Literal

from gilscope.records.base import Amount, AtLeastOne, Record

Cause = Literal[
    "blocked, computing",
    "blocked, waiting",
    "starved by a hog",
    "starved by turns",
    "no CPU",
    "garbage collection",
    "unknown",
]


class Frame(Record, frozen=True):
    """A line of Python that was being run."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


class Thread(Record, frozen=True):
    """A thread of the program."""

    native_id: int
    name: str | None
    """As ``threading`` has it; ``None`` for a thread that Python does not know, or that ended before it was asked."""

    def __str__(self) -> str:
        if self.native_id == 0:
            return "an unknown thread"
        return self.name or f"thread {self.native_id}"


class Rival(Record, frozen=True, kw_only=True):
    """A thread that held the GIL while the loop waited for it."""

    thread: Thread
    held: float
    held_long: float
    """Of that: in holds that take more than four switch intervals. A thread that runs Python gives it up after one, if asked."""
    longest: float
    queued: float
    """Of the longer ones: ready to run, and not run."""
    collected: float
    """Of what it held: in the garbage collector."""
    stack: tuple[Frame, ...]
    """Innermost first; empty if nobody got to take it in time."""


class Evidence(Record, frozen=True, kw_only=True):
    """Where a late loop's time went, as the sampler saw it."""

    sampled: float
    unsampled: float
    """The sampler itself was not run."""
    held: float
    """The loop's thread held the GIL."""
    collected: float
    """Of that: in the garbage collector."""
    waited: float
    """It slept until it would be given the GIL."""
    slept: float
    """It slept in the kernel for something else."""
    ran_free: float
    """It ran, or was ready to, without the GIL."""
    unknown: float
    """It slept on a lock, and nobody could tell whether that was the GIL."""
    ran: float | None
    """Processor time of the loop's thread; ``None`` where the system does not count it."""
    queued: float | None
    """The loop's thread was ready to run, and not run."""
    switches: int
    """How often the GIL went to another thread."""
    witness_waited: float | None
    """How long the witness waited for the GIL, once the stall was noticed; ``None`` if it was not called."""
    stacks_age: float | None
    """When the stacks were taken, after the stall's end; below 0 while it lasted."""
    rivals: tuple[Rival, ...]
    """The longest holder first."""


class Stall(Record, frozen=True, kw_only=True):
    """The loop was late, for longer than the threshold."""

    loop: int
    """The loop's number: each time that a loop is run it gets another."""
    thread: Thread
    """The loop's thread."""
    start: float
    duration: Amount
    noticed: float | None
    """When the watcher saw it, while it lasted; ``None`` if it was over before."""
    noticed_holder: Thread | None
    """Who held the GIL then."""
    cause: Cause
    culprit: Frame | None
    """The innermost frame of the user's, where the cause was seen; ``None`` where nobody saw it."""
    culprit_thread: Thread | None
    stack: tuple[Frame, ...]
    """The culprit's whole stack, innermost first."""
    callback: Frame | None
    """The outermost frame of the callback, or of the coroutine, that the loop was in."""
    task: str | None
    coroutine: str | None
    loop_stack: tuple[Frame, ...]
    evidence: Evidence

    @property
    def end(self) -> float:
        return self.start + self.duration


class Site(Record, frozen=True, kw_only=True):
    """What stalled the loop again and again: a cause at a line."""

    cause: Cause
    culprit: Frame | None
    thread: str | None
    """The name of the culprit's thread in the latest stall."""
    callback: Frame | None
    """The loop's callback in the latest stall."""
    stalls: AtLeastOne
    stalled: Amount
    """Seconds, all stalls together."""
    longest: Amount
