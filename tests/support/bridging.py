"""Shared by the tests of the awaitables: loops, and the native threads and descriptors that /proc lists."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from gilscope.countdown import LARGEST_COUNT

if TYPE_CHECKING:
    from collections.abc import Callable

FOR_EVER = LARGEST_COUNT
"""A countdown of a century."""
SECONDS_TO_WAIT = 30.0


LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.SelectorEventLoop, uvloop.new_event_loop]


def threads_at_work(named: str = "gilscope-bridge") -> int:
    """Return how many threads with this name are running or runnable."""
    at_work = 0
    for status in Path("/proc/self/task").glob("*/stat"):
        try:
            name, rest = status.read_text().split("(", 1)[1].rsplit(")", 1)
        except (FileNotFoundError, ProcessLookupError):  # the thread ended meanwhile
            continue
        at_work += name == named and rest.split()[0] == "R"
    return at_work


def becomes_true(condition: Callable[[], bool]) -> bool:
    """Block the loop until ``condition`` is true, and return whether it became true in time."""
    give_up = time.monotonic() + SECONDS_TO_WAIT
    while not (true := condition()) and time.monotonic() < give_up:
        time.sleep(0.001)
    return true


def becomes_idle() -> bool:
    """Block the loop until no worker of the bridge runs, and return whether that happened in time."""
    return becomes_true(lambda: threads_at_work() == 0)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
