"""What the tests of the awaitables share: loops, native threads and descriptors, as the system sees them."""

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
PATIENCE = 30.0


LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.SelectorEventLoop, uvloop.new_event_loop]


def threads_at_work(named: str = "gilscope-bridge") -> int:
    """How many threads of that name are running or would like to."""
    at_work = 0
    for status in Path("/proc/self/task").glob("*/stat"):
        try:
            name, rest = status.read_text().split("(", 1)[1].rsplit(")", 1)
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
        at_work += name == named and rest.split()[0] == "R"
    return at_work


def settles(condition: Callable[[], bool]) -> bool:
    """Wait until ``condition`` is true, with the loop at a standstill, and return whether it came true."""
    give_up = time.monotonic() + PATIENCE
    while not (true := condition()) and time.monotonic() < give_up:
        time.sleep(0.001)
    return true


def rests() -> bool:
    """Wait until no thread of the bridge works, with the loop at a standstill, and return whether that came."""
    return settles(lambda: threads_at_work() == 0)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
