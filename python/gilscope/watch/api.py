"""A running program, watched: for every stall of its event loops, why, and which line did it."""

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
from typing import TYPE_CHECKING, Self

from gilscope import _core
from gilscope.records.watch_report import UNREADABLE, Snapshot
from gilscope.watch.cause import judge
from gilscope.watch.child_count import Children
from gilscope.watch.loops import Hearts
from gilscope.watch.sites import Sites
from gilscope.watch.snapshots import distribution, shares

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.stall import Stall

log = logging.getLogger("gilscope")

BEATS_A_STALL = 5
"""A stall of the threshold's length is this many beats long: its length is known to within one."""
FASTEST_BEAT = 0.001
SLOWEST_BEAT = 0.01
TELLING = 1.0
"""How long ``stop`` waits for an ``on_stall`` callback that is being called."""


class Watch:
    """Watches the event loops of this process, those that run and those that will, and the GIL.

    Use it as a context, or call :meth:`start` and :meth:`stop`; it starts once. ``stall`` is the threshold in seconds above
    which a loop's lag is a stall; ``sample`` the mean time between two looks at the GIL, ``knock`` between two attempts to
    get it. ``on_stall`` is called with each :class:`~gilscope.records.stall.Stall` in a thread of the watch, as soon as the GIL
    is had again; what it raises is logged. ``trace`` keeps the last minutes' holds and lags for a chart. Without
    ``read_gil`` no raw memory is read: hogs then have no name.
    """

    def __init__(
        self,
        *,
        stall: float = 0.05,
        sample: float = 0.001,
        knock: float = 0.05,
        on_stall: Callable[[Stall], object] | None = None,
        trace: bool = False,
        read_gil: bool = True,
    ) -> None:
        self.stall = stall
        self._sample = sample
        self._knock = knock
        self._on_stall = on_stall
        self._trace = trace
        self._read_gil = read_gil
        self._sites = Sites()
        self._watcher: _core.Watcher | None = None
        self._last: Snapshot | None = None
        self._told = threading.Event()
        self._teller: int | None = None
        self.began = 0.0
        """``time.monotonic()`` when it started."""
        self._children = Children()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to watch. ``RuntimeError`` if it has been started before."""
        if self._watcher is not None:
            raise RuntimeError("a watch starts once: make another")
        beat = max(FASTEST_BEAT, min(self.stall / BEATS_A_STALL, SLOWEST_BEAT))
        self._watcher = _core.Watcher(
            stall=self.stall,
            heartbeat=beat,
            sample=self._sample,
            knock=self._knock,
            trace=self._trace,
            read_gil=self._read_gil,
            current_task=_current_task(),
        )
        self.began = self._watcher.began
        self._listener = self._watcher.collection_listener()
        self._collections(listen=True)
        _thread.start_new_thread(self._tell, (self._watcher,))
        self._hearts = Hearts(self._watcher, period=beat)
        _active.add(self)
        atexit.register(self.stop)
        self._children.start()
        self._hearts.start()

    def stop(self) -> None:
        """End the watch; what it saw stays in :meth:`snapshot`. Does nothing if it is not under way."""
        if self._watcher is None or self not in _active:
            return
        _active.discard(self)
        atexit.unregister(self.stop)
        self._hearts.stop()
        self._children.stop()
        self._collections(listen=False)
        self._watcher.close()
        if self._teller != threading.get_ident():
            self._told.wait(TELLING)
        self._last = self._take(self._watcher)

    def snapshot(self) -> Snapshot:
        """Return what has been seen so far; after :meth:`stop`, what had been seen then."""
        if self._last is not None:
            return self._last
        if self._watcher is None:
            raise RuntimeError("this watch has not started")
        return self._take(self._watcher)

    def holds(self) -> list[tuple[int, str | None, float, float]]:
        """Return the last minutes' holds of the GIL, if ``trace`` is on: native id, thread's name, from, to."""
        if self._watcher is None:
            return []
        return [
            (native_id, name, start - self.began, end - self.began)
            for native_id, name, start, end in self._watcher.holds()
        ]

    def lags(self) -> list[tuple[float, float]]:
        """Return the last minutes' beats, if ``trace`` is on: when each came, and how late."""
        return [] if self._watcher is None else [(at - self.began, lag) for at, lag in self._watcher.beats()]

    def _collections(self, *, listen: bool) -> None:
        if listen:
            gc.callbacks.append(self._listener)
        elif self._listener in gc.callbacks:  # the program may have cleared them
            gc.callbacks.remove(self._listener)

    def _take(self, watcher: _core.Watcher) -> Snapshot:
        seen = watcher.snapshot()
        unreadable = watcher.gil_unreadable
        waits = distribution(seen["waits"])
        return Snapshot(
            elapsed=seen["elapsed"],
            samples=seen["samples"],
            held=seen["held"] if unreadable is None else None,
            held_by=shares(seen["held_by"]),
            waited=waits.total,
            waits=waits,
            lags=distribution(seen["lags"]),
            stalled=self._sites.stalled(),
            stalls=self._sites.stalls(),
            sites=self._sites.ranked(),
            worst=self._sites.worst(),
            collected=seen["collected"],
            cost=seen["cost"],
            lost=seen["lost"],
            children=self._children.count,
            loops_with_own_clock=self._hearts.with_own_clock,
            gil_unreadable=unreadable and UNREADABLE[unreadable],
        )

    def _tell(self, watcher: _core.Watcher) -> None:
        """Make records of the stalls, and pass them on, until the watch is closed. A thread of its own."""
        self._teller = threading.get_ident()
        try:
            while (report := watcher.fetch()) is not None:
                stall = judge(report, stall=self.stall, began=self.began, reads_gil=watcher.gil_unreadable is None)
                self._sites.add(stall)
                self._pass_on(stall)
        except Exception:
            log.exception("gilscope cannot tell of stalls any more")
        finally:
            self._told.set()

    def _pass_on(self, stall: Stall) -> None:
        if self._on_stall is None:
            return
        try:
            self._on_stall(stall)
        except Exception:
            log.exception("on_stall failed for %s at %s", stall.cause, stall.culprit)

    def _forget(self) -> None:
        """In a forked child: nobody watches here."""
        atexit.unregister(self.stop)
        self._hearts.abandon()
        self._children.stop()
        self._collections(listen=False)


_active: weakref.WeakSet[Watch] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for watch in list(_active):
        watch._forget()  # noqa: SLF001 - ours
    _active.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)


def _current_task() -> Callable[[asyncio.AbstractEventLoop], object]:
    """Return what tells a loop's current task without running any Python: asyncio's own table, or its native function."""
    if sys.version_info >= (3, 12):
        return asyncio.current_task
    return asyncio.tasks._current_tasks.get  # type: ignore[attr-defined, no-any-return]  # noqa: SLF001 - no native function yet
