"""Gives a heartbeat to every event loop that runs while a watch lasts: those that run already, and those that start later.

A loop runs in its ``run_forever``, which is wrapped in ``asyncio.BaseEventLoop`` and, once the program has imported uvloop,
in ``uvloop.Loop``. When the last watch stops, the wrappers are removed. A heartbeat is driven by a timer file that the loop
watches like a socket, or by ``call_later`` if the loop cannot watch files; no task is created. Errors in this module are
logged, and the loop runs as it would without a watch.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import sys
import threading
import weakref
from contextlib import contextmanager, suppress
from importlib.abc import MetaPathFinder
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from gilscope._core import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from gilscope._core import Heartbeat, Watcher

log = logging.getLogger("gilscope")

MAX_CLOCK_DIFFERENCE = 1.0
"""If a loop's clock differs from the monotonic clock by more seconds than this, it has a clock of its own, like a test's fake
clock. Such a loop is not watched, because its timers say nothing about its lag."""


class WatchedLoops:
    """The event loops of one watch."""

    def __init__(self, watcher: Watcher, *, heartbeat: float) -> None:
        self._watcher = watcher
        self._seconds_per_beat = heartbeat
        self._timers: dict[asyncio.AbstractEventLoop, HeartbeatTimer] = {}
        self._loops_with_own_clock: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
        self.with_own_clock = 0
        """How many loops are not watched because they have a clock of their own."""

    def start(self) -> None:
        """Watch the loops that run now, and those that start from now on."""
        _hook(self)
        own = asyncio._get_running_loop()  # noqa: SLF001 - the public one raises
        if own is not None:
            self.begin(own)
        for loop in _running_loops():
            if loop is not own:
                loop.call_soon_threadsafe(self.begin, loop)

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to watch ``loop``, which runs in this thread, or is about to."""
        if loop in self._timers or self not in _watching:
            return
        if abs(loop.time() - monotonic()) > MAX_CLOCK_DIFFERENCE:
            if loop not in self._loops_with_own_clock:  # one asyncio.run runs its loop three times
                self._loops_with_own_clock.add(loop)
                self.with_own_clock += 1
            return
        timer = self._timers[loop] = HeartbeatTimer(self._watcher.add_heartbeat(), loop, self._seconds_per_beat)
        timer.start()

    def end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop watching ``loop``; if it is late now, that lag counts."""
        if timer := self._timers.pop(loop, None):
            timer.stop()
            self._watcher.remove_heartbeat(timer.heartbeat)

    def stop(self) -> None:
        """Stop watching all loops."""
        _unhook(self)
        for loop in list(self._timers):
            self.end(loop)

    def abandon(self) -> None:
        """Stop all heartbeats in a forked child, which has no native threads to watch them."""
        _unhook(self)
        for timer in self._timers.values():
            timer.alive = False


class HeartbeatTimer:
    """Makes one loop run a callback whenever its heartbeat is due."""

    def __init__(self, heartbeat: Heartbeat, loop: asyncio.AbstractEventLoop, seconds_per_beat: float) -> None:
        self.heartbeat = heartbeat
        self.alive = True
        self._loop = loop
        self._seconds_per_beat = seconds_per_beat
        self._context = contextvars.Context()  # not the user's variables
        self._ident = threading.get_ident()
        self._handle: asyncio.TimerHandle | None = None
        self._file = heartbeat.fileno()

    def start(self) -> None:
        self.heartbeat.start(event_loop=self._loop, ident=self._ident, native_id=threading.get_native_id())
        if self._file is not None:
            try:
                self._context.run(self._loop.add_reader, self._file, self._beat)
            except NotImplementedError:  # a loop that cannot watch files
                self._file = None
        self._schedule()

    def stop(self) -> None:
        self.alive = False
        self.heartbeat.stop()
        # Only the loop's own thread may change the loop.
        if self._ident == threading.get_ident():
            self._remove()
        elif not self._loop.is_closed():
            with suppress(RuntimeError):  # closed meanwhile
                self._loop.call_soon_threadsafe(self._remove, context=self._context)

    def _beat(self) -> None:
        if self.alive:
            self.heartbeat.beat()
            self._schedule()
        else:
            self._remove()

    def _schedule(self) -> None:
        if self._file is None:
            self._handle = self._loop.call_later(self._seconds_per_beat, self._beat, context=self._context)

    def _remove(self) -> None:
        if self._handle:
            self._handle.cancel()
        if self._file is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._file)
            self._file = None


_watching: list[WatchedLoops] = []
_wrapped: list[tuple[Any, Any, Any]] = []
"""For each class whose ``run_forever`` is wrapped: the class, the original method, the wrapper."""


def _hook(loops: WatchedLoops) -> None:
    _watching.append(loops)
    if _wrapped:
        return
    _wrap(asyncio.BaseEventLoop)
    if uvloop := sys.modules.get("uvloop"):
        _wrap(uvloop.Loop)
    else:
        sys.meta_path.insert(0, _when_imported)


def _unhook(loops: WatchedLoops) -> None:
    if loops in _watching:
        _watching.remove(loops)
    if _watching:
        return
    if _when_imported in sys.meta_path:
        sys.meta_path.remove(_when_imported)
    while _wrapped:
        owner, original, wrapper = _wrapped.pop()
        # If another wrapper is around ours, it stays and calls ours, which has no effect now.
        if owner.run_forever is wrapper:
            owner.run_forever = original


def _wrap(owner: Any) -> None:
    original = owner.run_forever

    @functools.wraps(original)
    def run_forever(self: asyncio.AbstractEventLoop) -> None:
        with _watched(self):
            original(self)

    owner.run_forever = run_forever
    _wrapped.append((owner, original, run_forever))


@contextmanager
def _watched(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    _each("begin", loop)
    try:
        yield
    finally:
        _each("end", loop)


def _each(action: str, loop: asyncio.AbstractEventLoop) -> None:
    for loops in _watching:
        try:
            getattr(loops, action)(loop)
        except Exception:
            log.exception("gilscope cannot %s watching %r", action, loop)


class _WhenImported(MetaPathFinder):
    """Wraps uvloop's loop when the program imports uvloop. Imports nothing itself."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the protocol
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname != "uvloop":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec and spec.loader:
            spec.loader.exec_module = _wrapping(spec.loader.exec_module)  # type: ignore[method-assign, assignment]
        return spec


def _wrapping(exec_module: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    def execute(module: ModuleType) -> None:
        exec_module(module)
        if _watching:
            _wrap(module.Loop)

    return execute


_when_imported = _WhenImported()


def _running_loops() -> list[asyncio.AbstractEventLoop]:
    """Return the loops that run in any thread, found in the threads' frames: a ``run_forever``, or a ``Runner.run``."""
    loops = []
    for innermost in sys._current_frames().values():  # noqa: SLF001 - documented, for debuggers
        frame = innermost
        while frame is not None:
            owner = frame.f_locals.get("self") if frame.f_code.co_name in {"run_forever", "run"} else None
            loop = owner.get_loop() if isinstance(owner, asyncio.Runner) else owner
            if isinstance(loop, asyncio.AbstractEventLoop) and loop.is_running() and loop not in loops:
                loops.append(loop)
            frame = frame.f_back  # type: ignore[assignment]
    return loops
