"""The watch of ``gilscope watch``: besides watching, it keeps a reporter process informed."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any

import msgspec

from gilscope._core import current_frames, share_samples, stalled_now, trace_after
from gilscope.naming import escaped
from gilscope.records.ending import Ending, UnfinishedStall
from gilscope.records.stall import Frame
from gilscope.watch import stack
from gilscope.watch.api import Watch
from gilscope.watch.bins import thread_name
from gilscope.watch.session import Session
from gilscope.watch.updates import RUNS, StalledLoop, Update

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from gilscope._core import LogFile, ReporterProcess, Watcher
    from gilscope.records.stall import Stall

FIRST_UPDATE = 0.1
"""Seconds from the watch's start to the first update. The time between two updates then doubles, up to ``BETWEEN_UPDATES``."""
BETWEEN_UPDATES = 1.0
BETWEEN_UPDATES_IN_A_STALL = 0.25
FIRST_TIME_TREE = 0.5
"""Seconds from the watch's start to the first update with the time tree; the time between two then doubles as well."""
BETWEEN_TIME_TREES = 5.0
MAX_SHARE_OF_CPU = 0.01
"""Updates take at most this share of the time, with the GIL held. A stall that has just ended may take ten times as much."""
SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_TO_LOCK = 0.5
"""A flush gives up if another update takes longer than this."""
MAX_FRAMES = 64
SECONDS_TO_REPORT = 30.0
"""The program waits this long for its report before it ends."""


class ProgramWatch(Watch):
    """A watch whose figures another process gets: after each stall, and about once a second."""

    reporter: ReporterProcess | None = None
    end: float = inf
    """When the watch ends while the program runs on, on the clock of ``time.monotonic``."""
    report_here: Callable[[Ending], None] | None = None
    """Gives a report while the program runs on, if there is no reporter process. ``end_here`` also ends the watch."""
    end_here: Callable[[], None] | None = None
    listens_for_requests = False
    """Whether ``request`` may be called: the watch's thread then looks for that again and again."""

    def __init__(
        self, *, live: LogFile | None = None, words: Callable[[Stall], str] | None = None, **arguments: Any
    ) -> None:
        """``live`` is where stalls are named in words, and ``words`` are those for a stall that is over."""
        super().__init__(**arguments)
        self._settings = self._settings._replace(live=live, words=words)
        # The program may replace what is looked up later.
        self._clock, self._cpu_clock = time.monotonic, time.thread_time
        self._frames: Callable[[], dict[int, Any]] = current_frames
        self._gil_is_on: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
        self._watcher: Watcher | None = None
        self._lock = threading.Lock()
        self._sent = 0.0
        self._wait = FIRST_UPDATE
        self._cost = 0.0
        self._wait_for_tree = FIRST_TIME_TREE
        self._tree_is_due = 0.0
        self._beat_ns = self._hold_ns = 0
        self._culprits: dict[float, Frame | None] = {}
        self._is_requested = False
        self.ended_early = False

    def started(self, watcher: Watcher) -> None:
        self._watcher = watcher
        if self.reporter:
            share_samples(watcher, self.reporter)
        self.tell()

    def tell(self) -> None:
        """Pass on what is known before the updates begin, so that a program that is killed now has a report too."""
        with suppress(Exception):
            if self.reporter:
                self.reporter.send(self._encoded(())[0])

    def child_started(self) -> None:
        """Pass on that there is one more child process, unless the updates have begun."""
        if self._watcher is None:
            self.tell()

    def request(self) -> None:
        """Give a report here while the program runs on. If the watch has a thread by now, that does it."""
        if self._watcher is None:
            self._report_now()
        else:
            self._is_requested = True

    def timeout(self) -> float:
        if self.reporter is None:
            longest = SECONDS_BETWEEN_LOOKS if self.listens_for_requests else inf
            return max(0.001, min(longest, self.end - self._clock()))
        return max(0.001, min(self._sent + self._wait, self.end) - self._clock())

    def updated(self, watcher: Watcher, *, stalled: bool) -> None:
        """Send an update if one is due, or if a stall has just ended and the last update is not too recent."""
        if self.ended_early:
            return
        if self.reporter is None:
            self._look()
            return
        now = self._clock()
        if now >= self.end:
            self.ended_early = True
            self.stop()
            self.reporter.send(self._encoded((), last=True)[0])
        elif now >= self._sent + (10 * self._cost if stalled else self._wait):
            self._update(self.reporter, self._stalled(watcher, with_stacks=True))

    def flush(self) -> None:
        """Pass on what is known at this moment, because the program may end at once. Never raises."""
        with suppress(Exception):
            if self.reporter and not self.ended_early:
                stalled = self._stalled(self._watcher, with_stacks=False) if self._watcher else ()
                self._tree_is_due = 0.0
                self._update(self.reporter, stalled)

    def finish(self, ending: Ending | None, *, quiet: bool) -> bool:
        """Pass on the last figures, and wait for the report. Return whether it was given."""
        with suppress(Exception):
            if self.reporter:
                last = self._encoded((), last=True, ending=ending, quiet=quiet)[0]
                return self.reporter.finish(last, SECONDS_TO_REPORT)
        return False

    def _new_session(self) -> Session:
        return Session(self._settings, self)

    def _look(self) -> None:
        """Give a report here if the watch is to end now, or if one has been requested."""
        if self._clock() >= self.end:
            if self.end_here:
                self.end_here()
        elif self._is_requested:
            self._is_requested = False
            self._report_now()

    def _report_now(self) -> None:
        at = self._clock()
        now = self._stalled(self._watcher, with_stacks=True) if self._watcher else ()
        stalls = tuple(
            UnfinishedStall(thread=loop.thread, so_far=at - loop.since, culprit=loop.culprit)
            for loop in now
            if at - loop.since >= self.stall
        )
        if self.report_here:
            self.report_here(Ending(kind="runs", unseen=self._clock() - at, stalls=stalls))

    def _update(self, reporter: ReporterProcess, stalled: tuple[StalledLoop, ...]) -> None:
        if not self._lock.acquire(timeout=SECONDS_TO_LOCK):
            return
        try:
            cpu = self._cpu_clock()
            message, ends = self._encoded(stalled)
            reporter.stage = RUNS
            if reporter.send(message):
                self._beat_ns, self._hold_ns = ends
            self._sent = self._clock()
            self._cost = self._cpu_clock() - cpu
            longest = BETWEEN_UPDATES_IN_A_STALL if stalled else BETWEEN_UPDATES
            self._wait = max(min(2 * self._wait, longest), self._cost / MAX_SHARE_OF_CPU)
        finally:
            self._lock.release()

    def _encoded(
        self, stalled: tuple[StalledLoop, ...], *, last: bool = False, ending: Ending | None = None, quiet: bool = False
    ) -> tuple[bytes, tuple[int, int]]:
        """Return a message, and up to when its beats and its holds reach."""
        at = self._clock()
        beats, holds, names = b"", b"", list[tuple[int, str]]()
        if self._watcher:
            since = {"beat_ns": self._beat_ns, "hold_ns": self._hold_ns}
            beats, holds, names = trace_after(self._watcher, **since, complete=last)
        update = Update(
            at=at,
            began=self.began,
            snapshot=self.snapshot(),
            stalled=stalled,
            gil=self._gil_is_on(),
            beats=beats,
            holds=holds,
            names=dict(names),
            last=last,
            ending=ending,
            time=self.time_tree() if last or at >= self._tree_is_due else None,
            quiet=quiet,
        )
        if update.time is not None:
            self._put_off_tree(self._clock() - at)
        ends = (
            int.from_bytes(beats[-16:-8], sys.byteorder) if beats else self._beat_ns,
            int.from_bytes(holds[-8:], sys.byteorder) if holds else self._hold_ns,
        )
        return msgspec.msgpack.encode(update), ends

    def _put_off_tree(self, cost: float) -> None:
        self._tree_is_due = self._clock() + max(self._wait_for_tree, cost / MAX_SHARE_OF_CPU)
        self._wait_for_tree = min(2 * self._wait_for_tree, BETWEEN_TIME_TREES)

    def _stalled(self, watcher: Watcher, *, with_stacks: bool) -> tuple[StalledLoop, ...]:
        """Return the loops that are stalled now, with their lines as they were first seen in this stall."""
        now = stalled_now(watcher)
        frames = self._frames() if now and with_stacks else {}
        self._culprits = {
            since: self._culprits.get(since) or stack.culprit(_stack(frames.get(ident))) for _, ident, since in now
        }
        return tuple(
            StalledLoop(thread_name(thread.native_id, thread.name), since, self._culprits[since])
            for thread, _, since in now
        )


def _stack(innermost: FrameType | None) -> list[Frame]:
    frames: list[Frame] = []
    while innermost is not None and len(frames) < MAX_FRAMES:
        code = innermost.f_code
        line = innermost.f_lineno or code.co_firstlineno
        frames.append(Frame(escaped(code.co_filename), line, escaped(code.co_qualname)))
        innermost = innermost.f_back
    return frames
