"""The shapes in which the native watcher hands over what it saw. Moments are ``time.monotonic``'s, durations are seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from gilscope._core import Histogram


class ThreadName(TypedDict):
    """A thread; all is 0 or ``None`` where it could not be read."""

    ident: int
    native_id: int
    name: str | None


class RivalReport(ThreadName):
    """A thread that held the GIL while the loop waited for it; the fields are those of ``stalls.Rival``."""

    held: float
    held_long: float
    longest: float
    queued: float
    collected: float


class StallReport(TypedDict):
    """One stall that is over; the figures are those of ``stalls.Evidence``."""

    loop: int
    thread: ThreadName
    due: float
    came: float
    noticed: float | None
    holder: ThreadName | None
    sampled: float
    unsampled: float
    held: float
    collected: float
    waited: float
    slept: float
    ran_free: float
    unknown: float
    ran: float | None
    queued: float | None
    switches: int
    rivals: list[RivalReport]
    asked: float | None
    """When the witness began to wait for the GIL; ``None`` if it did not."""
    attached: float | None
    """When it had it."""
    stacks: dict[int, list[tuple[str, int, str]]]
    """By ``ident``: file, line and function, innermost first."""
    task: str | None
    coroutine: str | None


class NativeSnapshot(TypedDict):
    """What has been seen up to a sample; the sums are those of ``snapshots.Snapshot``."""

    elapsed: float
    samples: int
    held: float
    held_by: list[tuple[int, str | None, float]]
    """Native id, name, seconds."""
    waits: Histogram
    lags: Histogram
    collected: float
    cost: float
    lost: int
