"""Gives a heartbeat to every event loop that runs while a watch lasts: those that run already, and those that start later.

Errors in this module are not the program's: the loop runs as it would without a watch, and is named in the report.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from gilscope.records.watch_report import UnwatchedLoop
from gilscope.watch import other_loops, running_loops
from gilscope.watch.clock_trial import trial_of
from gilscope.watch.heartbeat_timer import HeartbeatTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope._core import Watcher
    from gilscope.records.watch_report import WhyUnwatched

log = logging.getLogger("gilscope")


class WatchedLoops:
    """The event loops of one watch. ``watcher`` is called when the first of them begins to run."""

    def __init__(self, watcher: Callable[[], Watcher], *, heartbeat: float) -> None:
        self._watcher = watcher
        self._seconds_per_beat = heartbeat
        self._timers: dict[asyncio.AbstractEventLoop, HeartbeatTimer] = {}
        self._unwatched: dict[UnwatchedLoop, None] = {}
        self._others_before: dict[str, int] = {}
        self.runs = 0
        """How often a loop has begun to run."""

    def start(self) -> None:
        """Watch the loops that run now, and those that start from now on."""
        self._others_before = other_loops.loops_run()
        running_loops.listen(self)
        own = asyncio._get_running_loop()  # noqa: SLF001 - the public one raises
        if own is not None:
            self.begin(own)
        for loop in running_loops.running_elsewhere():
            with suppress(RuntimeError):  # closed meanwhile
                loop.call_soon_threadsafe(self.begin, loop)

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to watch ``loop``, which runs in this thread, or is about to."""
        if loop in self._timers or not running_loops.is_listening(self):
            return
        self.runs += 1
        try:
            heartbeat = self._watcher().add_heartbeat()
        except Exception as error:
            log.debug("gilscope cannot start its threads", exc_info=True)
            self._unwatched[_named(loop, "threads", f"{error}")] = None
            return
        try:
            timer = HeartbeatTimer(heartbeat, loop, self._seconds_per_beat, trial_of(loop))
            self._timers[loop] = timer
            timer.start()
        except Exception:
            log.debug("gilscope cannot watch %r", loop, exc_info=True)
            if loop in self._timers:
                self.end(loop)
            else:
                self._watcher().remove_heartbeat(heartbeat)
            self._unwatched[_named(loop, "error")] = None

    def end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop watching ``loop``; if it is late now, that lag counts."""
        if (timer := self._timers.pop(loop, None)) is None:
            return
        try:
            if why := timer.why_unwatched:
                self._unwatched[_named(loop, why)] = None
            timer.stop()
        except Exception:
            log.debug("gilscope cannot stop watching %r", loop, exc_info=True)
        self._watcher().remove_heartbeat(timer.heartbeat)

    def stop(self) -> None:
        """Stop watching all loops."""
        running_loops.ignore(self)
        for loop in list(self._timers):
            self.end(loop)

    def abandon(self) -> None:
        """Stop all heartbeats in a forked child, which has no native threads to watch them."""
        running_loops.ignore(self)
        for timer in self._timers.values():
            timer.part_from_parent()

    def unwatched(self) -> tuple[UnwatchedLoop, ...]:
        """Return the loops that have run and were not watched, each class once for each reason."""
        now = [_named(loop, why) for loop, timer in list(self._timers.items()) if (why := timer.why_unwatched)]
        others = other_loops.loops_run()
        ran = (name for name, number in others.items() if number > self._others_before.get(name, 0))
        return (*dict.fromkeys((*self._unwatched, *now)), *(UnwatchedLoop(name, "library") for name in ran))


def _named(loop: asyncio.AbstractEventLoop, why: WhyUnwatched, detail: str = "") -> UnwatchedLoop:
    kind = type(loop)
    return UnwatchedLoop(f"{kind.__module__}.{kind.__qualname__}", why, detail)
