"""What an attachment reports while it lasts. A view of a running process needs nothing else.

Durations are float seconds, and a moment is in seconds since the attachment began.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilscope.records.loop_time import TimeTree
    from gilscope.records.stall import Cause, Frame, Stall, Thread
    from gilscope.records.watch_report import Snapshot, WatchReport
    from gilscope.watch.bins import Hold


class Turn(NamedTuple):
    """A lag of a loop: what becomes due at a moment waits until the end of the turn in which the loop is then.

    A lag is counted once every 10 ms, as in a watch: of a long turn its whole length, and 10 ms less each time; 0 while the loop
    sleeps in its selector.
    """

    loop: int
    """The loop's number, from 1."""
    end: float
    """When it was counted: all lags of a turn at the turn's end."""
    seconds: float


class LongHold(NamedTuple):
    """A hold of the GIL that was longer than four switch intervals."""

    thread: Thread
    start: float
    seconds: float
    frame: Frame | None
    """The line that held the GIL, as a culprit is chosen from a stack; ``None`` if no stack was read in time."""


class StallNow(NamedTuple):
    """What a loop that is late does at this moment."""

    loop: int
    seconds: float
    """How late the loop is by now."""
    cause: Cause
    culprit: Frame | None
    thread: Thread | None
    """The culprit's thread."""


class Live(Protocol):
    """A process that is being read from outside."""

    @property
    def pid(self) -> int: ...

    @property
    def python(self) -> str:
        """The version of the process's Python, as in ``3.13.0``."""

    @property
    def command(self) -> tuple[str, ...]:
        """The process's command line."""

    @property
    def began(self) -> float:
        """When the attachment began, on the clock of ``time.monotonic``. All moments count from here."""

    @property
    def ended(self) -> bool:
        """Whether the process has ended. What was seen until then stays available."""

    def snapshot(self) -> Snapshot:
        """Return the sums so far, with the loops' busy and asleep seconds in ``loops``."""

    def report(self, command: Sequence[str]) -> WatchReport:
        """Return the report so far."""

    def time_tree(self) -> TimeTree: ...

    def turns(self, since: float) -> list[Turn]:
        """Return the loops' lags that were counted after ``since``, in this order."""

    def holds(self, since: float) -> list[Hold]:
        """Return the holds of the GIL that ended after ``since``, in order."""

    def long_holds(self, since: float) -> list[LongHold]:
        """Return the long holds that ended after ``since``, in order; the last may last still."""

    def stalls(self, since: float) -> list[Stall]:
        """Return the stalls that ended after ``since``, in order of their ends."""

    def now(self) -> tuple[StallNow, ...]:
        """Return what each loop does that has been late by more than the threshold; empty if none is late."""

    def threads(self) -> list[Thread]:
        """Return the process's Python threads that are alive."""

    def stack(self, native_id: int) -> tuple[Frame, ...]:
        """Return what the thread runs at this moment, innermost frame first; empty if its stack cannot be read."""
