"""Event loops of other processes, which stall for as long as a test wants."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from textwrap import dedent
from typing import TYPE_CHECKING

from gilscope.attach.api import Attachment

from tests.support.target import target, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gilscope.attach.live import StallNow
    from gilscope.records.stall import Stall

    from tests.support.target import Target

BEGIN = """
import asyncio, ctypes, os, select, signal, sys, threading, time

def ready():
    print("ready", flush=True)

asked = []
signal.signal(signal.SIGUSR1, lambda *_: asked.append(1))

def reads():
    os.read(0, 1)  # stalls

def polls():
    poll = select.epoll()
    poll.register(0, select.EPOLLIN)
    poll.poll()  # stalls
    poll.close()
    os.read(0, 1)

def selects():
    select.select([0], [], [])  # stalls
    os.read(0, 1)

def computes():
    while not asked: pass  # stalls
    asked.clear()

def hogs():
    ctypes.PyDLL(None).read(0, ctypes.create_string_buffer(1), 1)  # stalls, with the GIL held
"""
RUN = {
    "asyncio": "asyncio.run(main())",
    "uvloop": "import uvloop\nuvloop.run(main())",
    "in a thread": """
thread = threading.Thread(target=lambda: asyncio.run(main()), name="the loop's thread")
thread.start()
while thread.is_alive(): thread.join(1)
""",
    "poll": """
import selectors
asyncio.SelectorEventLoop(selectors.PollSelector()).run_until_complete(main())
""",
}
"""How the loop is run."""


def script(main: str, run: str = "asyncio") -> str:
    """Return a script that runs the coroutine function ``main``."""
    return BEGIN + dedent(main) + RUN[run]


@contextmanager
def attached(
    main: str, run: str = "asyncio", *, python: str | Path = sys.executable
) -> Iterator[tuple[Target, Attachment]]:
    """Run ``main`` in another process, and attach to that."""
    with target(script(main, run), python=python) as process, Attachment(process.pid) as attachment:
        yield process, attachment


def line_of(text: str, program: str) -> int:
    """Return the number of the line that has ``text``."""
    return next(number for number, line in enumerate(program.splitlines(), 1) if text in line)


def stalled(attachment: Attachment, expected: Callable[[StallNow], bool]) -> StallNow:
    """Wait until a loop is late as expected, and return what it does."""
    found: list[StallNow] = []

    def look() -> bool:
        found.extend(filter(expected, attachment.now()))
        return bool(found)

    until(look)
    return found[0]


def middle(attachment: Attachment, now: StallNow) -> float:
    """Return the middle of a stall so far, in seconds since the attachment began: its ends are known to a sample only."""
    return time.monotonic() - attachment.began - now.seconds / 2


def stall_at(attachment: Attachment, moment: float) -> Stall:
    """Wait until the stall that lasted at the moment is over, and return it. On a busy machine there may be others."""
    found: list[Stall] = []

    def look() -> bool:
        found.extend(it for it in attachment.stalls(0.0) if it.start <= moment <= it.start + it.duration)
        return bool(found)

    until(look)
    return found[0]


def sampled(attachment: Attachment, count: int) -> None:
    """Wait until so many more samples have been taken."""
    before = attachment.snapshot().samples
    until(lambda: attachment.snapshot().samples >= before + count)
