"""What a watched program passes to its reporter process: what was asked for, and again and again what the watch has seen.

Messages are msgpack. The first is a :class:`Program`, all others are an :class:`Update`. Both processes have mapped the same
page of memory, which holds the :class:`Page`.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import msgspec

from gilscope.records.ending import Ending  # noqa: TC001 - msgspec reads the annotations
from gilscope.records.loop_time import TimeTree  # noqa: TC001 - as above
from gilscope.records.stall import Frame  # noqa: TC001 - as above
from gilscope.records.watch_report import Snapshot  # noqa: TC001 - as above

PAGE = struct.Struct("=QQQQ")
RUNS, EXEC, REPORTED, HANG = 0, 1, 2, 3
"""Stages of a program: it runs; it is about to replace itself by another; it has given its report itself; it is being ended
because a loop hangs."""


class Page(NamedTuple):
    """What the native sampler notes, also while no Python code can run. Moments are in nanoseconds."""

    late_since: int
    """When the beat was due that a loop waits for; 0 if no loop is late."""
    sampled: int
    stage: int
    requests: int
    """How often a signal asked for a report."""


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A program that is watched, and what is wanted of its report."""

    pid: int
    command: tuple[str, ...]
    stall: float
    outputs: tuple[bytes, ...]
    began: float
    seconds: float | None
    """The report is wanted after so many seconds from ``began``."""
    signal: int | None
    """A report is wanted whenever the program receives this signal."""


class StalledLoop(msgspec.Struct, frozen=True):
    """A loop that is stalled at the time of an update."""

    thread: str
    since: float
    culprit: Frame | None


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """What the watch has seen up to ``at``, on the clock of ``time.monotonic``."""

    at: float
    began: float
    snapshot: Snapshot
    stalled: tuple[StalledLoop, ...]
    gil: bool
    """Whether the program's GIL is on."""
    beats: bytes
    """The new ones: when each came, and how late, as pairs of native 64-bit nanoseconds."""
    holds: bytes
    """The new ones: thread, start and end, in the same way."""
    names: dict[int, str]
    """The names of the threads in ``holds``."""
    last: bool = False
    """There will be no other update. The program waits for its report."""
    ending: Ending | None = None
    """How the program is about to end, if not by running its exit handlers."""
    time: TimeTree | None = None
    """What the loops did while they were busy. ``None`` where the last update that had it is recent enough."""
    quiet: bool = False
    """Print nothing: the program failed before there was anything to watch."""
