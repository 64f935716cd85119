"""Which thread kept the GIL, and at which line, while other threads waited for it.

A Python thread of ours wakes up now and then. If it has waited for the GIL, it finds the thread that kept it still at the call
that did, or just after it, and keeps that stack.
"""

from __future__ import annotations

import sys
import threading
import time
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from gilscope._core import monotonic
from gilscope.records.stall import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

MIN_GAP_SECONDS = 0.005
"""Between two looks, at least: each takes the GIL, and makes a turn for code that yields."""
MIN_CPU_SECONDS = 0.001
"""A thread that has used more CPU time during a wait may have had turns at the GIL in it."""
MIN_SHARE_OF_ONE = 0.9
"""If several threads used CPU time, one of them kept the GIL only if it used this share of that."""
MAX_SIGHTINGS = 1000
MAX_FRAMES = 64
OURS = str(Path(__file__).parents[1])
END_OF_BLOCK = str(Path(__file__).with_name("limit.py"))
"""A thread that is in this file has left the block whose holds are limited."""
WAITING_FUNCTIONS = (
    "wait",
    "_wait_for_tstate_lock",
    "join",
    "select",
    "_worker",
    "get",
    "acquire",
    "poll",
    "accept",
    "recv",
)
"""Names of functions at the top of a stack that wait for something else than the GIL."""


@dataclass(frozen=True)
class Sighting:
    """A wait for the GIL, and the thread that kept it, as it was found at the end."""

    start: float
    end: float
    thread: str
    stack: tuple[Frame, ...]
    """Innermost frame first; empty if the thread had left it before it could be seen."""
    in_turns: bool
    """Whether several threads computed meanwhile, so that none of them kept the GIL all the time."""


class Witness:
    """Looks for who keeps the GIL for longer than ``least`` seconds, from :meth:`start` until :meth:`stop`."""

    def __init__(self, least: float) -> None:
        self.sightings: list[Sighting] = []
        self._looks: list[float] = []
        self._least = least
        self._stopping = threading.Event()
        self._last = 0.0
        self._used: dict[int, float] = {}
        self._thread = threading.Thread(target=self._look_again_and_again, name="gilscope witness", daemon=True)

    def start(self) -> None:
        """Start to look."""
        self._last, self._used = monotonic(), _cpu_times()
        self._thread.start()

    def stop(self) -> None:
        """Stop after the wait in progress."""
        self._stopping.set()
        self._thread.join()

    def between(self, start: float, end: float) -> Sighting | None:
        """Return the sighting that has most in common with that time, if any has."""
        common = {min(end, seen.end) - max(start, seen.start): seen for seen in self.sightings}
        longest = max(common, default=0.0)
        return common[longest] if longest > 0 else None

    def longest_between_looks(self, start: float, end: float) -> float:
        """Return the longest part of that time in which this thread did not get the GIL either."""
        inside = self._looks[bisect_right(self._looks, start) : bisect_left(self._looks, end)]
        points = [start, *inside, end]
        return max(later - earlier for earlier, later in pairwise(points))

    def _look_again_and_again(self) -> None:
        gap, gaps = 0.0, max(MIN_GAP_SECONDS, self._least)
        while len(self.sightings) < MAX_SIGHTINGS:
            self._look(gap)
            if monotonic() - self._last > self._least:  # the GIL was lost while it looked
                self._look(0.0)
            if self._stopping.is_set():
                return
            gap = gaps
            time.sleep(gap)  # and acquire the GIL

    def _look(self, gap: float) -> None:
        now, used = monotonic(), _cpu_times()
        waited = now - self._last - gap
        if waited > self._least:
            self._note(now, waited, {ident: cpu - self._used.get(ident, 0.0) for ident, cpu in used.items()})
        self._last, self._used = now, used
        self._looks.append(now)

    def _note(self, now: float, waited: float, spent: dict[int, float]) -> None:
        frames = {
            ident: frame
            for ident, frame in sys._current_frames().items()  # noqa: SLF001 - the documented way to another thread's stack
            if ident != threading.get_ident() and not frame.f_code.co_filename.startswith(OURS)
        }
        ident = _kept_it(frames, spent, waited) if frames else None
        if ident is not None:
            names = {thread.ident: thread.name for thread in threading.enumerate()}
            stack = tuple(_frames(frames[ident]))
            if any(frame.file == END_OF_BLOCK for frame in stack):
                stack = ()
            self.sightings.append(Sighting(now - waited, now, names.get(ident, ""), stack, _took_turns(spent)))


def _cpu_times() -> dict[int, float]:
    """Return the CPU time of each other thread that runs Python code. None of them can end while this holds the GIL."""
    idents = [ident for ident in sys._current_frames() if ident != threading.get_ident()]  # noqa: SLF001 - as above
    return {ident: time.clock_gettime(time.pthread_getcpuclockid(ident)) for ident in idents}


def _kept_it(frames: dict[int, FrameType], spent: dict[int, float], waited: float) -> int | None:
    """Return which thread kept the GIL: the one that computed; else the only one that does not wait for something else."""
    ident = max(frames, key=lambda ident: spent.get(ident, 0.0), default=None)
    if ident is not None and (len(frames) == 1 or spent.get(ident, 0.0) >= waited / 2):
        return ident
    active = [ident for ident, frame in frames.items() if frame.f_code.co_name not in WAITING_FUNCTIONS]
    return active[0] if len(active) == 1 else ident if _took_turns(spent) else None


def _took_turns(spent: dict[int, float]) -> bool:
    computed = [cpu for cpu in spent.values() if cpu > MIN_CPU_SECONDS]
    return len(computed) > 1 and max(computed) < MIN_SHARE_OF_ONE * sum(computed)


def _frames(frame: FrameType | None) -> Iterator[Frame]:
    for _ in range(MAX_FRAMES):
        if frame is None:
            return
        code = frame.f_code
        file, function = (
            text.encode(errors="backslashreplace").decode() for text in (code.co_filename, code.co_qualname)
        )
        yield Frame(file=file, line=frame.f_lineno or code.co_firstlineno, function=function)
        frame = frame.f_back
