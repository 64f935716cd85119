"""Where and when tasks ran, in constant memory. Imports little, because workers import it to stamp their tasks."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.result import Lane

MAX_SPANS = 2000
"""The limit for all lanes together."""
MAX_LANES = 1000
"""Beyond this limit, threads have no lane of their own: their tasks go into lanes by the coroutine that awaited them."""


class Stamp(NamedTuple):
    """A task that has run: its result, when it began and ended by ``perf_counter``, and where.

    All processes of a machine share that clock. ``thread`` is the native thread id, or ``None`` if it is unknown.
    """

    result: Any
    begin: float
    end: float
    process: int
    thread: int | None


@dataclass(frozen=True)
class Stamped:
    """Calls ``function`` in the worker and returns a :class:`Stamp`, at a cost of about a microsecond."""

    function: Callable[..., Any]

    def __call__(self, *args: Any) -> Stamp:
        begin = time.perf_counter()
        result = self.function(*args)
        return Stamp(result, begin, time.perf_counter(), os.getpid(), threading.get_native_id())


@dataclass
class _Spans:
    begin: list[float] = field(default_factory=list)
    end: list[float] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)

    def add(self, begin: float, end: float, grain: int) -> bool:
        """Add a task to the last span if that has fewer than ``grain`` tasks, else to a new one; return whether it is new."""
        if self.tasks and self.tasks[-1] < grain:
            self.begin[-1] = min(self.begin[-1], begin)
            self.end[-1] = max(self.end[-1], end)
            self.tasks[-1] += 1
            self.busy[-1] += end - begin
            return False
        self.begin.append(begin)
        self.end.append(end)
        self.tasks.append(1)
        self.busy.append(end - begin)
        return True

    def halve(self) -> None:
        pairs = range(0, len(self.tasks), 2)
        self.begin = [min(self.begin[i : i + 2]) for i in pairs]
        self.end = [max(self.end[i : i + 2]) for i in pairs]
        self.tasks = [sum(self.tasks[i : i + 2]) for i in pairs]
        self.busy = [sum(self.busy[i : i + 2]) for i in pairs]


class Lanes:
    """The tasks of a trial by the thread that ran them, at most :data:`MAX_SPANS` spans.

    When there would be more, neighbours are merged: a merged span has the first begin, the last end, the number of its
    tasks and the sum of their durations.
    """

    def __init__(self, began: float) -> None:
        self.began = began
        self._loop = (os.getpid(), threading.get_native_id())
        self._lanes: dict[tuple[int, int | None, int], _Spans] = {}
        self._spans = 0
        self._grain = 1

    def add(self, stamp: Stamp, slot: int) -> None:
        """Add a task. If its thread is unknown, its lane is ``slot``, whose tasks run one after another."""
        key = (stamp.process, stamp.thread, slot if stamp.thread is None else 0)
        if key not in self._lanes and len(self._lanes) >= MAX_LANES:
            key = (self._loop[0], None, slot)
        spans = self._lanes.setdefault(key, _Spans())
        self._spans += spans.add(stamp.begin - self.began, stamp.end - self.began, self._grain)
        if self._spans > MAX_SPANS:
            self._grain *= 2
            for lane in self._lanes.values():
                lane.halve()
            self._spans = sum(len(lane.tasks) for lane in self._lanes.values())

    def record(self) -> list[Lane]:
        """Return the lanes in the order in which their first tasks ended."""
        # Imported here: msgspec does not load in the subinterpreters that import this module.
        from gilscope.records.result import Lane

        return [
            Lane(
                process=process,
                thread=thread,
                loop=(process, thread) == self._loop,
                begin=spans.begin,
                end=spans.end,
                tasks=spans.tasks,
                busy=spans.busy,
            )
            for (process, thread, _), spans in self._lanes.items()
        ]
