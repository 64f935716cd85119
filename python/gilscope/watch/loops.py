"""A heart for every event loop that runs while a watch lasts: those that run already, and those that will.

A loop begins and ends to run in its ``run_forever``, which is wrapped in ``asyncio.BaseEventLoop`` and, once somebody has
imported uvloop, in ``uvloop.Loop``. The wrappers are taken away again when nobody watches any more. What makes a heart beat
is a timer that the loop watches as it does its sockets, or where there is none, the loop's own ``call_later``: no task is
made. What fails here is logged and dropped: the loop runs as without it.
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

from gilscope import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from gilscope._core import Heart, Watcher

log = logging.getLogger("gilscope")

OWN_CLOCK = 1.0
"""A loop whose clock is further from the monotonic one has a clock of its own, as tests give it: its beats tell nothing."""


class Hearts:
    """The hearts of one watch."""

    def __init__(self, watcher: Watcher, *, period: float) -> None:
        self._watcher = watcher
        self._period = period
        self._beating: dict[asyncio.AbstractEventLoop, Beat] = {}
        self._strangers: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
        self.with_own_clock = 0
        """Loops that were left alone because of it."""

    def start(self) -> None:
        """Watch the loops that run now, and from now on those that will."""
        _hook(self)
        here = asyncio._get_running_loop()  # noqa: SLF001 - the public one raises
        if here is not None:
            self.begin(here)
        for loop in _running_elsewhere():
            if loop is not here:
                loop.call_soon_threadsafe(self.begin, loop)

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch ``loop``, which runs in this thread, or is about to."""
        if loop in self._beating or self not in _watching:
            return
        if abs(loop.time() - _core.monotonic()) > OWN_CLOCK:
            if loop not in self._strangers:  # a loop is run three times in one asyncio.run
                self._strangers.add(loop)
                self.with_own_clock += 1
            return
        beat = self._beating[loop] = Beat(self._watcher.add_heart(), loop, self._period)
        beat.start()

    def end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch ``loop`` no more; what it is late by now counts."""
        if beat := self._beating.pop(loop, None):
            beat.stop()
            self._watcher.remove_heart(beat.heart)

    def stop(self) -> None:
        """Watch no loop any more."""
        _unhook(self)
        for loop in list(self._beating):
            self.end(loop)

    def abandon(self) -> None:
        """In a forked child, where nobody listens to the beats: let them end."""
        _unhook(self)
        for beat in self._beating.values():
            beat.alive = False


class Beat:
    """One loop's next beat, and the one after it."""

    def __init__(self, heart: Heart, loop: asyncio.AbstractEventLoop, period: float) -> None:
        self.heart = heart
        self.alive = True
        self._loop = loop
        self._period = period
        self._context = contextvars.Context()  # not the user's variables
        self._ident = threading.get_ident()
        self._handle: asyncio.TimerHandle | None = None
        self._file = heart.fileno()

    def start(self) -> None:
        self.heart.start(event_loop=self._loop, ident=self._ident, native_id=threading.get_native_id())
        if self._file is not None:
            try:
                self._context.run(self._loop.add_reader, self._file, self._beat)
            except NotImplementedError:  # a loop of somebody's own
                self._file = None
        self._expect()

    def stop(self) -> None:
        self.alive = False
        self.heart.stop()
        # What is the loop's is its thread's alone.
        if self._ident == threading.get_ident():
            self._leave()
        elif not self._loop.is_closed():
            with suppress(RuntimeError):  # closed meanwhile
                self._loop.call_soon_threadsafe(self._leave, context=self._context)

    def _beat(self) -> None:
        if self.alive:
            self.heart.beat()
            self._expect()
        else:
            self._leave()

    def _expect(self) -> None:
        if self._file is None:
            self._handle = self._loop.call_later(self._period, self._beat, context=self._context)

    def _leave(self) -> None:
        if self._handle:
            self._handle.cancel()
        if self._file is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._file)
            self._file = None


_watching: list[Hearts] = []
_wrapped: list[tuple[Any, Any, Any]] = []
"""Each class whose ``run_forever`` is wrapped, what it was, and the wrapper."""


def _hook(hearts: Hearts) -> None:
    _watching.append(hearts)
    if _wrapped:
        return
    _wrap(asyncio.BaseEventLoop)
    if uvloop := sys.modules.get("uvloop"):
        _wrap(uvloop.Loop)
    else:
        sys.meta_path.insert(0, _when_imported)


def _unhook(hearts: Hearts) -> None:
    if hearts in _watching:
        _watching.remove(hearts)
    if _watching:
        return
    if _when_imported in sys.meta_path:
        sys.meta_path.remove(_when_imported)
    while _wrapped:
        owner, original, wrapper = _wrapped.pop()
        if (
            owner.run_forever is wrapper
        ):  # else somebody has wrapped it again: theirs calls ours, which does nothing now
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
    for hearts in _watching:
        try:
            getattr(hearts, action)(loop)
        except Exception:
            log.exception("gilscope cannot %s to watch %r", action, loop)


class _WhenImported(MetaPathFinder):
    """Wraps uvloop's loop as soon as somebody imports it. Imports nothing by itself."""

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
            spec.loader.exec_module = _then_wrap(spec.loader.exec_module)  # type: ignore[method-assign, assignment]
        return spec


def _then_wrap(exec_module: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    def execute(module: ModuleType) -> None:
        exec_module(module)
        if _watching:
            _wrap(module.Loop)

    return execute


_when_imported = _WhenImported()


def _running_elsewhere() -> list[asyncio.AbstractEventLoop]:
    """Return the loops that run in any thread, as far as their Python frames tell: uvloop has them under ``Runner.run``."""
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
