"""Loops that were busy, as a watch would report them: how long, and with what at which lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilscope.records.loop_time import BusyStack, LoopTime, TimeTree
from gilscope.records.stall import Frame
from msgspec.structs import replace

from tests.support.watched import MAIN, watched

if TYPE_CHECKING:
    from gilscope.records.loop_time import LoopDoing
    from gilscope.records.stall import Thread
    from gilscope.records.watch_report import WatchReport

SERVE = Frame("/srv/app/server.py", 90, "serve")
HANDLER = Frame("/srv/app/orders.py", 41, "handler")
NEXT_LINE = Frame("/srv/app/orders.py", 43, "handler")
DUMPS = Frame("/usr/lib/python3.11/json/__init__.py", 231, "dumps")
PARSE = Frame("/srv/app/parse.py", 9, "parse")
QUERY = Frame("/srv/app/db.py", 7, "query")
FRAMES = (SERVE, HANDLER, NEXT_LINE, DUMPS, PARSE, QUERY)


def spent(doing: LoopDoing, seconds: float, *frames: Frame, loop: int = 1, **others: Any) -> BusyStack:
    """Return the time at a stack, outermost frame first, whose innermost frame is the culprit unless ``others`` say otherwise."""
    indices = tuple(map(FRAMES.index, frames))
    fields: dict[str, Any] = {"culprit": indices[-1] if indices else None, "task": "Task-7", "coroutine": "serve"}
    return BusyStack(loop=loop, doing=doing, seconds=seconds, frames=indices, **{**fields, **others})


ORDERS = (
    spent("computing", 3.0, SERVE, HANDLER, DUMPS, culprit=FRAMES.index(HANDLER)),
    spent("computing", 1.1, SERVE, NEXT_LINE),
    spent("waiting for the GIL", 1.4, SERVE, HANDLER, holder="asyncio_0", held_at=FRAMES.index(PARSE)),
    spent("waiting for the GIL", 0.8, SERVE, NEXT_LINE, holder="asyncio_0", held_at=FRAMES.index(PARSE)),
    spent("blocked", 0.9, SERVE, QUERY, task="poller"),
    spent("no CPU", 0.6, SERVE, HANDLER),
    spent("unknown", 0.2, task=None, coroutine=None),
    spent("computing", 0.3, SERVE, QUERY, task="poller"),
)
"""8.3 of 10 seconds."""


def loop_time(busy: float, asleep: float, *, loop: int = 1, thread: Thread = MAIN, saturated: float = 0.0) -> LoopTime:
    return LoopTime(loop=loop, thread=thread, busy=busy, asleep=asleep, saturated=saturated)


def busy(
    *stacks: BusyStack, loops: tuple[LoopTime, ...] = (loop_time(8.3, 1.7),), elapsed: float = 10.0, **changed: Any
) -> WatchReport:
    """Return the watch of ``loops`` that spent their time at ``stacks``."""
    report = watched(elapsed=elapsed, **changed)
    tree = TimeTree(frames=FRAMES, stacks=stacks or ORDERS)
    return replace(report, snapshot=replace(report.snapshot, loops=loops), time=tree)
