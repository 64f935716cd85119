"""The shapes in which the native watcher hands over what it saw. Moments are ``time.monotonic``'s, durations are seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from gilscope.records.stall import Evidence, Frame, Rival, Thread

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


def evidence(report: StallReport) -> Evidence:
    """Return what ``report`` says about where the time went."""
    rivals = [
        Rival(
            thread=thread(rival),
            held=rival["held"],
            held_long=rival["held_long"],
            longest=rival["longest"],
            queued=rival["queued"],
            collected=rival["collected"],
            stack=stack(report, rival["ident"]),
        )
        for rival in report["rivals"]
    ]
    asked, attached = report["asked"], report["attached"]
    as_they_are = {name: report[name] for name in Evidence.__struct_fields__ if name in report and name != "rivals"}  # type: ignore[literal-required]
    return Evidence(
        **as_they_are,
        witness_waited=None if asked is None or attached is None else attached - asked,
        stacks_age=None if attached is None else attached - report["came"],
        rivals=tuple(sorted(rivals, key=lambda rival: -rival.held)),
    )


def thread(of: ThreadName) -> Thread:
    return Thread(of["native_id"], of["name"])


def stack(report: StallReport, ident: int) -> tuple[Frame, ...]:
    """Return the stack of the thread ``ident``, innermost frame first; empty if it was not taken."""
    return tuple(Frame(*frame) for frame in report["stacks"].get(ident, ()))
