"""Drives the heartbeat of one event loop.

The loop watches a timer file like a socket. A loop that cannot watch files, or of a class that is not known, gets its beats
from ``call_later``. No task is created.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import sys
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gilscope._core import monotonic

if TYPE_CHECKING:
    from gilscope._core import Heartbeat
    from gilscope.records.watch_report import WhyUnwatched
    from gilscope.watch.clock_trial import ClockTrial

MAX_SECONDS_TO_FIRST_BEAT = 0.5
"""A loop of an unknown class that has run for longer than this and has given no beat never will."""
METHODS_THAT_BEAT = ("run_forever", "_run_once", "_process_events", "_add_reader", "add_reader")
"""A subclass of asyncio's loop that overrides none of these certainly calls a reader."""
_beats: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()
"""For each class of loop: whether it certainly runs a callback that is due."""


OUR_FILES = (f"{Path(__file__).parents[1]}/", contextlib.__file__)
"""Where the frames are from that lie between a loop and its heartbeat."""


class HeartbeatTimer:
    """Makes one loop run a callback whenever its heartbeat is due."""

    def __init__(
        self,
        heartbeat: Heartbeat,
        loop: asyncio.AbstractEventLoop,
        seconds_per_beat: float,
        clock_trial: ClockTrial | None,
    ) -> None:
        self.heartbeat = heartbeat
        self.alive = True
        self._loop = loop
        self._seconds_per_beat = seconds_per_beat
        self._context = contextvars.Context()  # not the user's variables
        self._ident = threading.get_ident()
        self._handle: asyncio.TimerHandle | None = None
        self._file = heartbeat.fileno() if _watches_files(type(loop)) else None
        self._began = 0.0
        self._clock_trial = clock_trial
        self._is_proven = clock_trial is None and _certainly_beats(type(loop))
        self._has_noted_depth = False

    @property
    def why_unwatched(self) -> WhyUnwatched | None:
        """Why the loop's lag is not measured; ``None`` if it is, or if that is not known yet."""
        if self.heartbeat.has_beaten or self._is_proven:
            return None
        if self._clock_trial is not None:
            return "clock"
        return "silent" if monotonic() - self._began > MAX_SECONDS_TO_FIRST_BEAT else None

    def start(self) -> None:
        self._began = monotonic()
        self._expect_first_beat()
        if self._file is not None:
            try:
                self._context.run(self._loop.add_reader, self._file, self._beat)
            except NotImplementedError:  # a loop that cannot watch files
                self._file = None
        self._schedule()
        self._note_depth()

    def _expect_first_beat(self) -> None:
        self.heartbeat.start(
            event_loop=self._loop,
            ident=self._ident,
            native_id=threading.get_native_id(),
            proven=self._is_proven,
        )

    def stop(self) -> None:
        self.alive = False
        if self.heartbeat.has_beaten:
            _beats[type(self._loop)] = True
        self.heartbeat.stop()
        # Only the loop's own thread may change the loop.
        if self._ident == threading.get_ident():
            self._remove()
        elif not self._loop.is_closed():
            with suppress(RuntimeError):  # closed meanwhile
                self._loop.call_soon_threadsafe(self._remove, context=self._context)

    def part_from_parent(self) -> None:
        """End in a forked child, which shares the loop's selector and the timer with its parent: change neither."""
        self.alive = False
        self.heartbeat.part_from_parent()

    def _beat(self) -> None:
        if not self.alive or not self._has_true_clock():
            return
        if not self._has_noted_depth:  # before the beat: its stall may be reported as soon as it has come
            self._has_noted_depth = True
            self._note_depth()
        self.heartbeat.beat()
        self._schedule()

    def _has_true_clock(self) -> bool:
        """Whether the loop's clock runs as fast as time does. If that is not known yet, try again at the next beat."""
        if self._clock_trial is None:
            return True
        if self._clock_trial.passes():
            self._clock_trial = None
            return True
        if self._clock_trial.has_failed:
            self.stop()
        else:
            self._expect_first_beat()
            self._schedule()
        return False

    def _note_depth(self) -> None:
        """Note from which depth of the stack the loop calls its callbacks: a native loop has no frame that says so.

        The first beat is such a callback. Until it comes, the loop has been called from where it was about to run.
        """
        if depth := depth_below_callbacks():
            self.heartbeat.runs_above(*depth)

    def _schedule(self) -> None:
        if self._file is None:
            self._handle = self._loop.call_later(self._seconds_per_beat, self._beat, context=self._context)

    def _remove(self) -> None:
        if self._handle:
            self._handle.cancel()
        if self._file is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._file)
            self._file = None


def depth_below_callbacks() -> tuple[int, int] | None:
    """Return the depth of the innermost frame that is not gilscope's, 1 for the outermost, and the id of the outermost code.

    ``None`` if the program itself has started the watch: it may be in a callback already.
    """
    frame = sys._getframe()  # noqa: SLF001 - documented
    while frame.f_code.co_filename.startswith(OUR_FILES) and frame.f_back:
        if frame.f_code.co_qualname == "WatchedLoops.start":
            return None
        frame = frame.f_back
    depth = 1
    while frame.f_back:
        frame, depth = frame.f_back, depth + 1
    return depth, id(frame.f_code)


def _certainly_beats(kind: type[asyncio.AbstractEventLoop]) -> bool:
    if (known := _beats.get(kind)) is not None:
        return known
    usual = asyncio.SelectorEventLoop
    as_usual = issubclass(kind, usual) and all(
        getattr(kind, name) is getattr(usual, name) for name in METHODS_THAT_BEAT
    )
    _beats[kind] = as_usual or _is_uvloops(kind)
    return _beats[kind]


def _watches_files(kind: type[asyncio.AbstractEventLoop]) -> bool:
    return _is_uvloops(kind) or issubclass(kind, asyncio.SelectorEventLoop)


def _is_uvloops(kind: type[asyncio.AbstractEventLoop]) -> bool:
    uvloop = sys.modules.get("uvloop")
    return uvloop is not None and issubclass(kind, getattr(uvloop, "Loop", ()))
