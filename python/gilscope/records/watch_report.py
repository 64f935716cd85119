"""What a watch has seen up to a moment: frozen records. Their sums only grow, and all cover the same ``elapsed`` seconds."""

from __future__ import annotations

from typing import Literal

from gilscope.records.attached import Attached
from gilscope.records.base import SCHEMA, Amount, Count, Positive, Record
from gilscope.records.ending import Ending
from gilscope.records.loop_time import LoopTime, TimeTree
from gilscope.records.machine import Machine
from gilscope.records.stall import Cause, Site, Stall
from gilscope.records.timeline import Timeline

BOUNDS = (1e-5, 1e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The upper bounds of a distribution's buckets, in seconds."""

Unreadable = Literal[
    "declined", "version", "free-threaded", "symbol", "memory", "interval", "holder", "thread", "stack"
]

UNREADABLE: dict[Unreadable, str] = {
    "declined": "the watch was asked not to read it",
    "version": "the location of the GIL is known for CPython 3.11 to 3.15 only",
    "free-threaded": "this build of Python has no GIL",
    "symbol": "this Python does not export _PyRuntime",
    "memory": "the system does not permit reading the process's memory with process_vm_readv",
    "interval": "the self-check did not find the switch interval where it should be",
    "holder": "the self-check did not find this thread as the GIL's holder",
    "thread": "the self-check did not find this thread's ids where they should be",
    "stack": "the self-check could not confirm that stacks are read right",
}
"""Why the holder of the GIL cannot be read, by the native core's code of the reason."""


WhyUnwatched = Literal["clock", "silent", "error", "threads", "library"]

WHY_UNWATCHED: dict[WhyUnwatched, str] = {
    "clock": "it has a clock of its own",
    "silent": "it never ran the callbacks that measure its lag",
    "error": "it refused the callbacks that measure its lag",
    "threads": "gilscope could not start its threads",
    "library": "gilscope watches only the event loops of asyncio, and replacements for them such as uvloop's",
}
"""Why an event loop was not watched, by the code of the reason."""


class UnwatchedLoop(Record, frozen=True):
    """A class of event loop that has run and was not watched."""

    name: str
    """The class with its module, or what ran the loop: ``trio.run``."""
    why: WhyUnwatched
    detail: str = ""
    """What the system said, if that is the reason."""


class Distribution(Record, frozen=True, kw_only=True):
    """Durations, counted."""

    count: Count
    total: Amount
    p50: Amount | None
    p90: Amount | None
    p99: Amount | None
    max: Amount | None
    up_to: tuple[tuple[Amount, Count], ...]
    """Pairs of a bound in seconds and how many durations are at most that long."""


class Holder(Record, frozen=True):
    """A thread, and how long it has held the GIL."""

    native_id: int
    thread: str
    held: Amount


class Snapshot(Record, frozen=True, kw_only=True):
    """A watch up to a moment. Subtract two snapshots to get rates."""

    elapsed: Amount
    """Seconds from the beginning to the last sample. Every other sum covers this time."""
    samples: Count
    held: Amount | None
    """How long the GIL was held; ``None`` if its holder cannot be read."""
    held_by: tuple[Holder, ...]
    """The same by thread, the longest holder first."""
    waited: Amount
    """How long all probes together waited for the GIL. Divided by ``waits.count``, the mean wait."""
    waits: Distribution
    """How long a thread waits that asks for the GIL at a random moment."""
    lags: Distribution
    """How late the watched loops were. A missed beat counts with the lateness it had when the loop ran again."""
    stalled: dict[Cause, Amount]
    """How long the loops were stalled, by cause."""
    stalls: dict[Cause, Count]
    """How many stalls there were, by cause."""
    sites: tuple[Site, ...]
    """The one that stalled the loops for longest first."""
    worst: tuple[Stall, ...]
    """The longest stalls, the longest first."""
    collected: Amount
    """Time in the garbage collector."""
    cost: Amount
    """CPU time of the watch's own native threads."""
    lost: Count
    """Stalls that are counted in ``lags`` only, because there were too many to be reported in time, or because
    judging them failed."""
    children: Count
    """Child processes started. They are not watched."""
    gil_unreadable: Unreadable | None
    """Why the holder of the GIL cannot be read. Causes are then decided from the waits, and a hog's thread is unknown."""
    loop_runs: Count | None = None
    """How often an event loop began to run, watched or not; ``None`` in a file of an older version."""
    unwatched_loops: tuple[UnwatchedLoop, ...] = ()
    """The event loops that ran and were not watched, each class once for each reason."""
    before_loops: Amount = 0.0
    """Seconds before the first event loop, in which nothing was watched. ``elapsed`` does not include them."""
    loops_with_own_clock: Count = 0
    """In files of older versions: loops that were not watched because their clock is not the system's."""
    system_calls_hidden: bool = False
    """The system does not report what a sleeping thread waits for. Causes are then decided from the waits of the probes."""
    stacks_unreadable: Unreadable | None = None
    """Why stacks cannot be read while another thread holds the GIL. They are then taken once the GIL is released."""
    log_dropped: Count = 0
    """Lines that the log of stalls was not given: more than ten in a second, or more than its reader has read."""
    loops: tuple[LoopTime, ...] = ()
    """How busy each loop was; empty in a file of an older version."""


class Excerpt(Record, frozen=True, kw_only=True):
    """The part of a watch that a report covers, if it is not the whole."""

    begin: Amount
    """Seconds since the watch began, as all moments of the report are."""
    end: Amount
    ended: str
    """The same moment as ``end``: date and time of day, in UTC."""
    reason: Literal["call", "signal", "stall"]
    """Why it was written: ``dump`` was called, the program received ``dump_signal``, or a stall was longer than ``dump_on``."""


class WatchReport(Record, frozen=True, kw_only=True):
    """A watch of a whole program, or an excerpt of it, as it is written to a file."""

    format: Literal["gilscope"] = "gilscope"
    schema: int = SCHEMA
    kind: Literal["watch"] = "watch"
    version: str
    created: str
    machine: Machine
    command: tuple[str, ...]
    stall: Positive
    """A loop that is late by this many seconds is stalled."""
    snapshot: Snapshot
    ending: Ending | None = None
    """``None`` if the program gave its last figures when it ended."""
    timeline: Timeline | None = None
    """``None`` in a file of an older version that did not write it."""
    excerpt: Excerpt | None = None
    """The part of the watch that ``snapshot`` and ``timeline`` cover; ``None`` if that is the whole watch."""
    time: TimeTree | None = None
    """What the loops did while they were busy; ``None`` in a file of an older version."""
    attached: Attached | None = None
    """The process, if it was sampled from outside by ``gilscope attach``. ``lags`` are then seen by the loops' turns: from when a
    loop leaves its selector to when it is back there."""
