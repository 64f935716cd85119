"""Watches a running program: reports the cause and the line of every stall of its event loops."""

from __future__ import annotations

import _thread
import asyncio
import atexit
import gc
import logging
import os
import sys
import threading
import weakref
from numbers import Real
from typing import TYPE_CHECKING, Self, cast

from gilscope._core import Watcher
from gilscope.records.watch_report import Snapshot, Unreadable
from gilscope.watch.bins import Hold, LoopLag
from gilscope.watch.cause import judge
from gilscope.watch.child_count import Children
from gilscope.watch.loops import WatchedLoops
from gilscope.watch.sites import Sites
from gilscope.watch.snapshots import distribution, holders

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.stall import Stall

log = logging.getLogger("gilscope")

BEATS_PER_STALL = 5
"""A stall as long as the threshold lasts for this many beats: its length is known to within one."""
MIN_SECONDS_PER_BEAT = 0.001
MAX_SECONDS_PER_BEAT = 0.01
MAX_SECONDS_FOR_ON_STALL_AT_STOP = 1.0
"""``stop`` waits this long for the ``on_stall`` callbacks that are left."""


class Watch:
    """Watches the GIL and the event loops of this process: those that run already, and those that start later.

    Use a watch as a context manager, or call ``start`` and ``stop``. A watch starts only once.

    ``stall`` is the threshold in seconds: a loop that is later than this is stalled. ``sample`` is the mean time between two
    samples of the GIL's holder, ``probe`` the mean time between two attempts to acquire the GIL, both in seconds.
    ``on_stall`` is called with each ``Stall`` in a thread of the watch, as soon as that thread can acquire the GIL after the
    stall; exceptions that it raises are logged. ``trace`` keeps the latest holds and lags one by one, for a chart. Without
    ``read_gil`` no interpreter memory is read: then the thread and the line of a hog are unknown.
    """

    def __init__(
        self,
        *,
        stall: float = 0.05,
        sample: float = 0.001,
        probe: float = 0.05,
        on_stall: Callable[[Stall], object] | None = None,
        trace: bool = False,
        read_gil: bool = True,
    ) -> None:
        for name, value in (("stall", stall), ("sample", sample), ("probe", probe)):
            must_be_seconds(name, value)
        if on_stall is not None and not callable(on_stall):
            raise TypeError(f"on_stall must be a function to call with each stall, not {on_stall!r}")
        self.stall = stall
        self._sample = sample
        self._probe = probe
        self._on_stall = on_stall
        self._trace = trace
        self._read_gil = read_gil
        self._sites = Sites()
        self._watcher: Watcher | None = None
        self._last: Snapshot | None = None
        self._reported_all = threading.Event()
        self._reporter: int | None = None
        self.began = 0.0
        """``time.monotonic()`` when the watch started."""
        self._children = Children()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the watch. Raises ``RuntimeError`` if it has been started before."""
        if self._watcher is not None:
            raise RuntimeError("a watch starts only once: make another one")
        heartbeat = max(MIN_SECONDS_PER_BEAT, min(self.stall / BEATS_PER_STALL, MAX_SECONDS_PER_BEAT))
        self._watcher = Watcher(
            stall=self.stall,
            heartbeat=heartbeat,
            sample=self._sample,
            probe=self._probe,
            trace=self._trace,
            read_gil=self._read_gil,
            current_task=_current_task(),
        )
        self.began = self._watcher.began
        self._gc_listener = self._watcher.gc_listener
        gc.callbacks.append(self._gc_listener)
        _thread.start_new_thread(self._report_stalls, (self._watcher,))
        self._loops = WatchedLoops(self._watcher, heartbeat=heartbeat)
        _active.add(self)
        atexit.register(self.stop)
        self._children.start()
        self._loops.start()

    def stop(self) -> None:
        """Stop the watch. ``snapshot`` still returns what it saw. Does nothing if the watch is not running."""
        if self._watcher is None or self not in _active:
            return
        _active.discard(self)
        atexit.unregister(self.stop)
        self._loops.stop()
        self._children.stop()
        self._stop_listening_to_gc()
        self._watcher.close()
        if self._reporter != threading.get_ident():
            self._reported_all.wait(MAX_SECONDS_FOR_ON_STALL_AT_STOP)
        self._last = self._take(self._watcher)

    def snapshot(self) -> Snapshot:
        """Return what the watch has seen so far; after ``stop``, what it had seen by then."""
        if self._last is not None:
            return self._last
        if self._watcher is None:
            raise RuntimeError("this watch has not started")
        return self._take(self._watcher)

    def holds(self) -> list[Hold]:
        """Return the latest holds of the GIL, if ``trace`` is on. Times are seconds since the watch began."""
        if self._watcher is None:
            return []
        holds = ((hold.thread, hold.start - self.began, hold.end - self.began) for hold in self._watcher.holds())
        return [Hold(thread.native_id, thread.name, start, end) for thread, start, end in holds]

    def lags(self) -> list[LoopLag]:
        """Return the latest heartbeats, if ``trace`` is on. Times are seconds since the watch began."""
        if self._watcher is None:
            return []
        return [LoopLag(beat.at - self.began, beat.lag) for beat in self._watcher.beats()]

    def _stop_listening_to_gc(self) -> None:
        if self._gc_listener in gc.callbacks:  # the program may have cleared them
            gc.callbacks.remove(self._gc_listener)

    def _take(self, watcher: Watcher) -> Snapshot:
        totals = watcher.totals()
        unreadable = cast("Unreadable | None", watcher.gil_unreadable)
        waits = distribution(totals.waits)
        return Snapshot(
            elapsed=totals.elapsed,
            samples=totals.samples,
            held=totals.held if unreadable is None else None,
            held_by=holders(totals.held_by),
            waited=waits.total,
            waits=waits,
            lags=distribution(totals.lags),
            stalled=self._sites.stalled(),
            stalls=self._sites.stalls(),
            sites=self._sites.ranked(),
            worst=self._sites.worst(),
            collected=totals.collected,
            cost=totals.cost,
            lost=totals.lost,
            children=self._children.count,
            loops_with_own_clock=self._loops.with_own_clock,
            gil_unreadable=unreadable,
        )

    def _report_stalls(self, watcher: Watcher) -> None:
        """Make a record of each stall and pass it on, until the watch is closed. Runs in a thread of its own."""
        self._reporter = threading.get_ident()
        try:
            while (report := watcher.next_stall()) is not None:
                stall = judge(report, stall=self.stall, began=self.began, reads_gil=watcher.gil_unreadable is None)
                self._sites.add(stall)
                self._pass_on(stall)
        except Exception:
            log.exception("gilscope cannot report stalls any more")
        finally:
            self._reported_all.set()

    def _pass_on(self, stall: Stall) -> None:
        if self._on_stall is None:
            return
        try:
            self._on_stall(stall)
        except Exception:
            log.exception("on_stall failed for %s at %s", stall.cause, stall.culprit)

    def _abandon(self) -> None:
        """End the watch in a forked child, where its native threads do not exist."""
        atexit.unregister(self.stop)
        self._loops.abandon()
        self._children.stop()
        self._stop_listening_to_gc()


def must_be_seconds(name: str, value: object) -> None:
    """Raise ``TypeError`` if ``value`` is not a number."""
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")


_active: weakref.WeakSet[Watch] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for watch in list(_active):
        watch._abandon()  # noqa: SLF001 - ours
    _active.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)


def _current_task() -> Callable[[asyncio.AbstractEventLoop], object]:
    """Return a function that returns a loop's current task and runs no Python code: native, or the method of a dict."""
    if sys.version_info >= (3, 12):
        return asyncio.current_task
    return asyncio.tasks._current_tasks.get  # type: ignore[attr-defined, no-any-return]  # noqa: SLF001 - no native function yet
