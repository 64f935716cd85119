"""One stall: its cause, its culprit, and the evidence. Frozen records.

Durations are float seconds; a moment is in seconds since the watch began.
"""

from __future__ import annotations

from typing import Literal

from gilscope.records.base import Amount, AtLeastOne, Record
from gilscope.records.remedies import REMEDY_OF_CAUSE

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
    """A line of Python that a thread was running.

    Only the two ends of a deep stack are kept. Between them is a frame without a file; its ``line`` is the number of frames
    that were left out.
    """

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        if not self.file:
            return f"... {self.line} frames left out ..."
        return f"{self.file}:{self.line} in {self.function}"


class Thread(Record, frozen=True):
    """A thread of the program."""

    native_id: int
    name: str | None
    """The name that ``threading`` has for it; ``None`` if it has none, or if the thread ended before its name was read."""

    def __str__(self) -> str:
        if self.native_id == 0:
            return "an unknown thread"
        return self.name or f"thread {self.native_id}"


class Contender(Record, frozen=True, kw_only=True):
    """A thread that held the GIL while the loop waited for it, or slept."""

    thread: Thread
    held: float
    held_long: float
    """Of ``held``: in holds of more than four switch intervals. A thread that runs Python releases the GIL after one, if
    another thread asks for it."""
    longest: float
    queued: float
    """In its longer holds: runnable, and not running."""
    collected: float
    """Of ``held``: in the garbage collector."""
    stack: tuple[Frame, ...]
    """Innermost frame first; empty if it was not taken in time."""
    held_while_loop_slept: float = 0.0
    """In long holds, while the loop's thread slept in the kernel for something else."""


class Evidence(Record, frozen=True, kw_only=True):
    """Where a late loop's time went, as the sampler saw it."""

    sampled: float
    unsampled: float
    """The sampler itself did not run."""
    held: float
    """The loop's thread held the GIL."""
    collected: float
    """Of ``held``: in the garbage collector."""
    waited: float
    """The loop's thread waited for the GIL."""
    slept: float
    """It slept in the kernel for something else."""
    ran_without_gil: float
    """It ran, or was runnable, without the GIL."""
    unknown: float
    """It slept on a lock, which may have been the GIL's or another."""
    ran: float | None
    """CPU time of the loop's thread; ``None`` if the system does not count it."""
    queued: float | None
    """Run-queue delay of the loop's thread: runnable, and not running."""
    switches: int
    """How often another thread acquired the GIL."""
    prober_waited: float | None
    """How long the prober waited for the GIL once the stall was noticed; ``None`` if the stall ended before that."""
    stacks_age: float | None
    """When the stacks were taken, in seconds after the stall's end; negative if the stall still lasted."""
    contenders: tuple[Contender, ...]
    """The longest holder first."""


class Part(Record, frozen=True, kw_only=True):
    """What else a stall spent time on: a cause at a line."""

    cause: Cause
    culprit: Frame | None
    thread: Thread | None
    """The culprit's thread."""
    seconds: Amount


class Stall(Record, frozen=True, kw_only=True):
    """The loop was late by more than the threshold."""

    loop: int
    """The loop's number, from 1. A loop that is run again gets another number."""
    thread: Thread
    """The loop's thread."""
    start: float
    duration: Amount
    noticed: float | None
    """When the watch noticed the stall; ``None`` if it was over by then."""
    noticed_holder: Thread | None
    """The thread that held the GIL at that time."""
    cause: Cause
    culprit: Frame | None
    """The innermost frame of the user's code, where the cause was; ``None`` if it was not seen."""
    culprit_thread: Thread | None
    stack: tuple[Frame, ...]
    """The culprit's whole stack, innermost frame first."""
    callback: Frame | None
    """The outermost frame of the callback or coroutine that the loop was running."""
    task: str | None
    coroutine: str | None
    loop_stack: tuple[Frame, ...]
    evidence: Evidence
    parts: tuple[Part, ...] = ()
    """What else it spent time on, the longest part first. The cause and the culprit above took the most."""
    request: str | None = None
    """The method and path of the request that an ASGI application was answering, as in ``GET /report``."""

    @property
    def end(self) -> float:
        return self.start + self.duration

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return REMEDY_OF_CAUSE[self.cause]


class Site(Record, frozen=True, kw_only=True):
    """All stalls with one cause at one place: a line, or the neighbouring lines of one handler."""

    cause: Cause
    culprit: Frame | None
    """The line that stalled the loops for longest. Where no code of the user's was on the stack, the outermost function of the
    library that was answering the request."""
    thread: str | None
    """The name of the culprit's thread in the latest stall."""
    callback: Frame | None
    """The loop's callback, if it was the same in all stalls."""
    stalls: AtLeastOne
    stalled: Amount
    """The sum of the stalls, in seconds."""
    longest: Amount
    parts: tuple[Part, ...] = ()
    """What else these stalls spent time on, added up by cause and line, the longest first; five at most."""
    lines: tuple[int, ...] = ()
    """All lines of the place, if there are several."""
    coroutine: str | None = None
    """The coroutine of the loop's task, if it was the same in all stalls."""
    task: str | None = None
    """The name of the loop's task, if it was the same in all stalls."""
    request: str | None = None
    """The request in one of the stalls."""
    requests_differ: bool = False
    """Whether other stalls were in other requests. Where no code of the user's was on the stack, they are of one route: they
    differ only where the path has digits, or a name that varies."""
    innermost: tuple[Frame, ...] = ()
    """Where no code of the user's was on the stack: its innermost five frames in one of the stalls."""
    many_places: bool = False
    """These are the stalls with this cause at all places that were too many to keep apart."""
