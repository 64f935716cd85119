"""One run of a watch, from its start to its stop: the native threads, the hooks, and what was seen."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import threading
from math import inf
from typing import TYPE_CHECKING, Any, cast

from gilscope._core import (
    GcListener,
    Watcher,
    close_in_child,
    close_logs,
    loops_alive,
    monotonic,
    say_in_log,
    set_program_packages,
    traced_beats,
    traced_holds,
)
from gilscope.watch.bins import Hold, LoopLag
from gilscope.watch.child_count import Children
from gilscope.watch.dumps import Dumps, write
from gilscope.watch.judge import judge
from gilscope.watch.log_settings import log_settings
from gilscope.watch.loop_time import MAX_STACKS, times_of, tree_of
from gilscope.watch.loops import WatchedLoops
from gilscope.watch.native import NO_LOOPS, watch_state
from gilscope.watch.on_stall import pass_on
from gilscope.watch.origin import program_packages
from gilscope.watch.recent_stalls import RecentStalls
from gilscope.watch.sites import Sites
from gilscope.watch.snapshots import empty, snapshot_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gilscope._core import StallReport
    from gilscope.records.loop_time import TimeTree
    from gilscope.records.stall import Stall
    from gilscope.records.watch_report import Snapshot, Unreadable
    from gilscope.records.watch_state import WatchState
    from gilscope.watch.settings import Listener, Settings

log = logging.getLogger("gilscope")

BEATS_PER_STALL = 5
"""A stall as long as the threshold lasts for this many beats: its length is known to within one."""
MIN_SECONDS_PER_BEAT = 0.001
MAX_SECONDS_PER_BEAT = 0.01
MAX_SECONDS_FOR_ON_STALL_AT_STOP = 1.0
"""``stop`` waits this long for the ``on_stall`` callbacks that are left."""


class Session:
    """What one run of a watch has started, and has to stop."""

    def __init__(self, settings: Settings, listener: Listener | None = None) -> None:
        self._settings = settings
        self._listener = listener
        self._heartbeat = max(MIN_SECONDS_PER_BEAT, min(settings.stall / BEATS_PER_STALL, MAX_SECONDS_PER_BEAT))
        self._sites = Sites()
        self.recent_stalls = RecentStalls()
        self.dumps = Dumps(settings.dumps, self)
        self._unrecorded = 0
        self._children = Children(listener.child_started if listener else None)
        self._loops = WatchedLoops(self.watcher, heartbeat=self._heartbeat)
        self._armed = monotonic()
        self._starting = threading.RLock()
        self._watcher: Watcher | None = None
        self._gc_listener: GcListener | None = None
        self._reported_all = threading.Event()
        self._reporter: int | None = None
        self._last: Snapshot | None = None
        self._last_tree: TimeTree | None = None

    @property
    def threshold(self) -> float:
        """A loop that is late by this many seconds is stalled."""
        return self._settings.stall

    @property
    def began(self) -> float:
        """When the native threads started; before that, when the session did."""
        return self._watcher.began if self._watcher else self._armed

    def arm(self) -> None:
        """Start the native threads as soon as an event loop runs. Until then, no thread is started."""
        self._children.start()
        self._loops.start()

    def watcher(self) -> Watcher:
        """Return the native half, which starts at the first call."""
        with self._starting:
            if self._watcher is None:
                self._watcher = self._start_watcher()
        return self._watcher

    def stop(self) -> None:
        """Stop everything. ``snapshot`` returns what was seen."""
        self._loops.stop()
        self._children.stop()
        self._stop_listening_to_gc()
        if self._watcher is not None:
            self._watcher.close()
            if self._reporter != threading.get_ident():  # else the reports that are left come after this
                self._reported_all.wait(MAX_SECONDS_FOR_ON_STALL_AT_STOP)
                close_logs(self._watcher)
        self._last, self._last_tree = self._take(), tree_of(self._watcher)

    def abandon(self) -> None:
        """End in a forked child, where the native threads do not exist."""
        self._loops.abandon()
        self._children.stop()
        self._stop_listening_to_gc()
        for file in filter(None, (self._settings.log, self._settings.live)):
            file.close_in_child()
        if self._watcher is not None:
            self._watcher.leave_dump_signal()
            close_in_child(self._watcher)

    def state(self) -> WatchState:
        """Return what the loops do now; after ``stop``, no loop is watched."""
        if self._watcher is None or self._last is not None:
            return NO_LOOPS
        return watch_state(loops_alive(self._watcher))

    def snapshot(self) -> Snapshot:
        """Return what was seen so far; after ``stop``, what had been seen by then."""
        return self._last or self._take()

    def time_tree(self, most: int = MAX_STACKS) -> TimeTree:
        """Return what the loops did so far while they were busy; after ``stop``, what they had done by then."""
        return self._last_tree or tree_of(self._watcher, most)

    def holds(self) -> list[Hold]:
        """Return the latest holds of the GIL, if the watch traces."""
        holds = traced_holds(self._watcher) if self._watcher else ()
        return [
            Hold(hold.thread.native_id, hold.thread.name, hold.start - self.began, hold.end - self.began)
            for hold in holds
        ]

    def lags(self) -> list[LoopLag]:
        """Return the latest heartbeats, if the watch traces."""
        beats = traced_beats(self._watcher) if self._watcher else ()
        return [LoopLag(beat.at - self.began, beat.lag) for beat in beats]

    def _start_watcher(self) -> Watcher:
        try:
            return self._started_watcher()
        except OSError as error:
            path = self._settings.heartbeat_file
            if path is None or error.filename != os.fsdecode(path):
                raise
            raise OSError(error.errno, f"cannot write heartbeat_file: {error.strerror}", error.filename) from None

    def _started_watcher(self) -> Watcher:
        settings = self._settings
        watcher = Watcher(
            stall=settings.stall,
            heartbeat=self._heartbeat,
            sample=settings.sample,
            probe=settings.probe,
            trace=settings.trace,
            read_gil=settings.read_gil,
            current_task=_current_task(),
            logs=log_settings(settings.log, settings.live),
            hang=settings.hang,
            exits=settings.on_hang == "exit",
            heartbeat_file=settings.heartbeat_file,
            dump_signal=settings.dumps.signal,
        )
        try:
            if self._listener is not None:
                self._listener.started(watcher)
            watcher.start_reporter(self._report_stalls)
        except BaseException:
            watcher.close()
            close_logs(watcher)
            raise
        set_program_packages(watcher, list(program_packages()))
        self._gc_listener = watcher.gc_listener
        gc.callbacks.append(self._gc_listener)
        return watcher

    def _stop_listening_to_gc(self) -> None:
        if self._gc_listener in gc.callbacks:  # the program may have cleared them
            gc.callbacks.remove(self._gc_listener)

    def dump(self, path: Path) -> None:
        """Write the last minutes to ``path``."""
        if self._watcher is None:
            raise RuntimeError("no event loop has run since this watch was started: there is nothing to dump")
        write(path, self)

    def others(self) -> dict[str, Any]:
        """Return the fields of a snapshot that the native half does not have."""
        return {
            "children": self._children.count,
            "loop_runs": self._loops.runs,
            "unwatched_loops": self._loops.unwatched(),
            "before_loops": (self._watcher.began if self._watcher else monotonic()) - self._armed,
        }

    def _take(self) -> Snapshot:
        watcher, others = self._watcher, self.others()
        if watcher is None:
            return empty(**others)
        unreadable = cast("Unreadable | None", watcher.gil_unreadable)
        if unreadable is not None:
            others["held"] = None
        return snapshot_of(
            watcher.totals(),
            self._sites,
            unrecorded=self._unrecorded,
            gil_unreadable=unreadable,
            stacks_unreadable=cast("Unreadable | None", watcher.stacks_unreadable),
            system_calls_hidden=watcher.system_calls_hidden,
            loops=times_of(watcher),
            **others,
        )

    def _report_stalls(self, watcher: Watcher) -> None:
        """Make a record of each stall and pass it on, until the watch is closed. Runs in a thread of its own."""
        self._reporter = threading.get_ident()
        reads_gil = watcher.gil_unreadable is None
        try:
            while (report := watcher.next_stall(self._timeout())) is not None or not watcher.has_ended:
                if report is not None:
                    self._record(report, watcher, reads_gil=reads_gil)
                self.dumps.look(watcher.take_dump_requests())
                self._inform(watcher, stalled=report is not None)
            self.dumps.look(0, last=True)
        except Exception:
            log.exception("gilscope cannot report stalls any more")
        finally:
            self._reported_all.set()
            if self._last is not None:  # stopped by this thread
                close_logs(watcher)

    def _record(self, report: StallReport, watcher: Watcher, *, reads_gil: bool) -> None:
        """Judge one stall. If that fails, the stall counts as lost, and the next one is judged all the same."""
        try:
            stall = judge(report, stall=self.threshold, began=watcher.began, reads_gil=reads_gil)
            self._sites.add(stall)
            self.recent_stalls.add(stall)
            self._say(stall, report, watcher)
        except Exception:
            if not self._unrecorded:
                log.exception("gilscope cannot judge a stall")
            self._unrecorded += 1
            return
        self.dumps.add(stall, watcher.began + stall.end)
        pass_on(stall, self._settings.on_stall)

    def _inform(self, watcher: Watcher, *, stalled: bool) -> None:
        if self._listener is None:
            return
        try:
            self._listener.updated(watcher, stalled=stalled)
        except Exception:
            log.exception("gilscope cannot pass its figures on while the program runs")
            self._listener = None

    def _say(self, stall: Stall, report: StallReport, watcher: Watcher) -> None:
        """Name the stall, which is over, in words."""
        if self._settings.log or self._settings.live:
            set_program_packages(watcher, list(program_packages()))  # for the next stall: the program may import more
        if self._settings.words and report.told:
            say_in_log(watcher, self._settings.words(stall))

    def _timeout(self) -> float:
        return min(self.dumps.timeout(), inf if self._listener is None else self._listener.timeout())


def _current_task() -> Callable[[asyncio.AbstractEventLoop], object]:
    """Return a function that returns a loop's current task and runs no Python code: native, or the method of a dict."""
    if sys.version_info >= (3, 12):
        return asyncio.current_task
    return asyncio.tasks._current_tasks.get  # type: ignore[attr-defined, no-any-return]  # noqa: SLF001 - no native function yet
