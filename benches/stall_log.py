"""Reads what a program writes to a file, from outside the program, and notes when it came."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from pathlib import Path

IN_MODIFY = 2
MAX_BYTES_OF_EVENTS = 4096
SECONDS_BETWEEN_LOOKS_AT_END = 0.05


class Arrival(NamedTuple):
    """A line, and ``time.monotonic()`` when it was in the file."""

    at: float
    text: str


class Tail:
    """Notes each line of a file as it is written. The kernel reports each write (inotify), so nothing polls."""

    def __init__(self, path: Path) -> None:
        path.touch()
        libc = ctypes.CDLL(None, use_errno=True)
        self._events = libc.inotify_init1(os.O_CLOEXEC)
        if self._events < 0 or libc.inotify_add_watch(self._events, os.fsencode(path), IN_MODIFY) < 0:
            raise OSError(ctypes.get_errno(), f"cannot watch {path} by inotify")
        self._file = path.open("rb", buffering=0)
        self._rest = b""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self.arrivals: list[Arrival] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end.set()
        self._thread.join()
        self._read()
        self._file.close()
        os.close(self._events)

    def _follow(self) -> None:
        with contextlib.suppress(PermissionError):  # what it notes is then a little late at times
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        while not self._end.is_set():
            if select.select([self._events], [], [], SECONDS_BETWEEN_LOOKS_AT_END)[0]:
                os.read(self._events, MAX_BYTES_OF_EVENTS)
                self._read()

    def _read(self) -> None:
        written = self._file.read()
        now = time.monotonic()
        *lines, self._rest = (self._rest + written).split(b"\n")
        self.arrivals += [Arrival(now, line.decode(errors="replace")) for line in lines]


class Place(NamedTuple):
    """A line of code, and the thread that ran it."""

    native_id: int
    file: str
    line: int
    function: str


class Line(NamedTuple):
    """What ``gilscope.Watch(log=...)`` wrote of a stall."""

    at: float
    """When it was in the file, by ``time.monotonic()``."""
    noticed: float
    """When the watch had found out what it says."""
    id: int
    begins: bool
    """It is the first of the two lines of a stall: the stall goes on."""
    cause: str
    stall_began: float
    """By ``time.monotonic()``."""
    place: Place | None
    """Where the thread is that holds the GIL; if no other thread holds it, where the loop is."""


def line_of(arrival: Arrival, began: float) -> Line | None:
    """Return what a line says; ``None`` if it is of no stall. ``began`` is when the watch did."""
    fields = json.loads(arrival.text)
    if fields["event"] not in {"stall", "end"}:
        return None
    holder = fields.get("holder")
    thread, line = (holder, holder["line"]) if holder else (fields["thread"], fields.get("loop_line"))
    place = Place(thread["id"], line["file"], line["line"], line["function"]) if line else None
    noticed = began + fields["at"]
    stall_began = noticed - fields["seconds"]
    return Line(arrival.at, noticed, fields["id"], fields["event"] == "stall", fields["cause"], stall_began, place)
