"""The stall watchdogs that projects write by hand, in their smallest form. Each writes what it finds to a file.

A loop's heartbeat calls ``beat``. A stall is reported once, when the last heartbeat is too long ago.
"""

from __future__ import annotations

import faulthandler
import json
import sys
import threading
import time
from typing import TYPE_CHECKING

import gilscope

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from gilscope.records.stall import Stall

HEARTBEAT = 0.01
THRESHOLD = 0.05


class Nothing:
    """No watchdog: what the loop costs by itself. All others override what is here."""

    needs_heartbeat = False
    began = 0.0
    """When it began, if what it writes counts from there."""

    def __init__(self, path: Path) -> None:
        """Start, in the loop's thread, to write what is found to the file at ``path``."""

    def beat(self) -> None:
        """Called by the loop, every ``HEARTBEAT`` seconds if it is on time."""

    def stop(self) -> None:
        """Called in the loop's thread at the end."""


class CurrentFrames(Nothing):
    """A daemon thread that looks at the heartbeat's age, and reports the loop's stack by ``sys._current_frames``."""

    needs_heartbeat = True

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)
        self._loop = threading.get_ident()
        self._last = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def beat(self) -> None:
        self._last = time.monotonic()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        reported = 0.0
        while not self._done.wait(HEARTBEAT):
            last = self._last
            if time.monotonic() - last > HEARTBEAT + THRESHOLD and last != reported:
                reported = last
                self._report(sys._current_frames())  # noqa: SLF001 - public by its documentation

    def _report(self, frames: dict[int, FrameType]) -> None:
        stacks = {ident: functions(frame) for ident, frame in frames.items()}
        own = stacks.pop(self._loop, [])
        finding = {"cause": self._cause(), "stack": own, "others": list(stacks.values())}
        self._file.write(json.dumps(finding) + "\n")

    def _cause(self) -> str | None:
        return None


class CpuTimeRule(CurrentFrames):
    """The same, with a cause: a loop's thread that used the CPU during the stall computed, another one waited."""

    def __init__(self, path: Path) -> None:
        self._clock = time.pthread_getcpuclockid(threading.get_ident())
        self._used = time.clock_gettime(self._clock)
        super().__init__(path)

    def beat(self) -> None:
        self._used = time.clock_gettime(self._clock)
        super().beat()

    def _cause(self) -> str:
        grown = time.clock_gettime(self._clock) - self._used
        return "computing" if grown > THRESHOLD / 2 else "waiting"


class FaulthandlerTimer(Nothing):
    """``faulthandler.dump_traceback_later``, set again by each heartbeat. It names no cause, and dumps all threads."""

    needs_heartbeat = True

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")
        self.beat()

    def beat(self) -> None:
        faulthandler.dump_traceback_later(HEARTBEAT + THRESHOLD, file=self._file)

    def stop(self) -> None:
        faulthandler.cancel_dump_traceback_later()


class Gilscope(Nothing):
    """A watch, which has a heartbeat of its own, and the log that it writes while a stall lasts."""

    def __init__(self, path: Path) -> None:
        self._watch = self._new(path)
        self._watch.start()
        self.began = self._watch.began

    def _new(self, path: Path) -> gilscope.Watch:
        return gilscope.Watch(stall=THRESHOLD, log=path)

    def stop(self) -> None:
        self._watch.stop()


class GilscopeAfterwards(Gilscope):
    """A watch, and what it says of a stall when it is over."""

    def _new(self, path: Path) -> gilscope.Watch:
        file = path.open("a", buffering=1)

        def report(stall: Stall) -> None:
            own = [f"{frame.file}:{frame.function.rpartition('.')[2]}" for frame in stall.stack]
            accused = f"{stall.culprit.file}:{stall.culprit.function.rpartition('.')[2]}" if stall.culprit else None
            stack = own[own.index(accused) :] if accused in own else own
            span = (self._watch.began + stall.start, self._watch.began + stall.end)
            file.write(json.dumps({"cause": stall.cause, "stack": stack, "others": [own], "span": span}) + "\n")

        return gilscope.Watch(stall=THRESHOLD, on_stall=report)


WATCHDOGS: dict[str, type[Nothing]] = {
    "nothing": Nothing,
    "heartbeat and `_current_frames()`": CurrentFrames,
    "the same with the CPU-time rule": CpuTimeRule,
    "heartbeat and faulthandler's timer": FaulthandlerTimer,
    "gilscope's log": Gilscope,
    "gilscope's report": GilscopeAfterwards,
}


def functions(frame: FrameType | None) -> list[str]:
    """Return ``file:function`` of each frame, innermost first."""
    found = []
    while frame is not None:
        found.append(f"{frame.f_code.co_filename}:{frame.f_code.co_name}")
        frame = frame.f_back
    return found
