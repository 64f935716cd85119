"""What a watch has seen up to a moment: a frozen record. Its sums only grow, and are those of its own ``elapsed``."""

from __future__ import annotations

from typing import Literal

from gilscope.records.base import SCHEMA, Amount, Count, Positive, Record
from gilscope.records.machine import Machine
from gilscope.records.stall import Cause, Site, Stall
from gilscope.records.timeline import Timeline

BOUNDS = (1e-5, 1e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: up to each of these, a distribution is counted."""

UNREADABLE = {
    "declined": "it was asked not to",
    "platform": "the GIL's state is known for 64-bit Linux only",
    "version": "the GIL's place is known for CPython 3.11 to 3.15 only",
    "free-threaded": "this build of Python has no GIL",
    "symbol": "this Python does not export _PyRuntime",
    "memory": "the system does not permit reading the process's memory with process_vm_readv",
    "interval": "the self-check did not find the switch interval where it should be",
    "holder": "the self-check did not find this thread as the GIL's holder",
    "thread": "the self-check did not find this thread's ids where they should be",
}
"""Why the holder of the GIL cannot be seen, by the native core's word for it."""


class Distribution(Record, frozen=True, kw_only=True):
    """Durations, counted."""

    count: Count
    total: Amount
    p50: Amount | None
    p90: Amount | None
    p99: Amount | None
    max: Amount | None
    up_to: tuple[tuple[Amount, Count], ...]
    """Pairs of a bound in seconds and how many were at most as long."""


class Share(Record, frozen=True):
    """A thread, and how long it has held the GIL."""

    native_id: int
    thread: str
    held: Amount


class Snapshot(Record, frozen=True, kw_only=True):
    """A watch up to a moment. Durations are seconds since it began; rates come of the differences of two snapshots."""

    elapsed: Amount
    """Up to the last sample: what every other sum is to be compared with."""
    samples: Count
    held: Amount | None
    """How long the GIL was held; ``None`` where that cannot be seen."""
    held_by: tuple[Share, ...]
    """The same by thread, the longest holder first."""
    waited: Amount
    """How long all knocks together waited for the GIL; with ``waits.count``, the mean wait of one."""
    waits: Distribution
    """Waits of a thread that asks for the GIL at a random moment."""
    lags: Distribution
    """How late the watched loops were: beats that were due and did not come count with the lag they would have had."""
    stalled: dict[Cause, Amount]
    """How long the loops were stalled, by cause."""
    stalls: dict[Cause, Count]
    """How often, by cause."""
    sites: tuple[Site, ...]
    worst: tuple[Stall, ...]
    collected: Amount
    """Time in the garbage collector."""
    cost: Amount
    """Processor time of the watch's own two threads."""
    lost: Count
    """Stalls that were counted in ``lags`` only, because nobody fetched them in time."""
    children: Count
    """Processes started meanwhile; they are not watched."""
    loops_with_own_clock: Count
    """Loops that are not watched, because their clock is not the system's."""
    gil_unreadable: str | None
    """Why the holder of the GIL cannot be seen; causes are then told by the waits, and without a thread's name."""


class WatchReport(Record, frozen=True, kw_only=True):
    """A watch of a whole program, as it is written to a file."""

    format: Literal["gilscope"] = "gilscope"
    schema: int = SCHEMA
    kind: Literal["watch"] = "watch"
    version: str
    created: str
    machine: Machine
    command: tuple[str, ...]
    stall: Positive
    """The threshold."""
    snapshot: Snapshot
    timeline: Timeline | None = None
    """``None`` in a file of a version that did not write it."""
