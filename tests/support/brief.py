"""Callables that release the GIL again and again, most of them only briefly, and what others really wait beside them."""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import inf
from typing import Any, NamedTuple

from gilscope._core import _Testing, monotonic, run_queue_delay

Call = Callable[[], Any]
CORES = sorted(os.sched_getaffinity(0))
CALL_SECONDS = 0.3
WAITER_SLEEP_SECONDS = 0.001
PAUSE_SECONDS = 0.005
"""Between two calls, so that no wait is for more than one of them."""

hold = ctypes.PyDLL(None).usleep
getppid = ctypes.CDLL(None).getppid


def pieces(piece: float, brief: Call, seconds: float = CALL_SECONDS) -> None:
    """Hold the GIL in pieces, with a release between two of them."""
    for _ in range(int(seconds / piece)):
        hold(int(piece * 1e6))
        brief()


def for_a_while(step: Call) -> None:
    """Call ``step`` again and again; reading the clock does not release the GIL."""
    end = time.monotonic() + CALL_SECONDS
    while time.monotonic() < end:
        for _ in range(100):
            step()


def reads() -> Call:
    one, other = socket.socketpair()

    def step() -> None:
        other.send(b"x")
        one.recv(1)

    return step


def locking() -> Call:
    lock = threading.Lock()

    def step() -> None:
        lock.acquire()
        lock.release()

    return step


BRIEF: dict[str, Call] = {
    "pieces of 0.2 ms, getppid": partial(pieces, 0.0002, getppid),
    "pieces of 0.5 ms, getppid": partial(pieces, 0.0005, getppid),
    "pieces of 3 ms, getppid": partial(pieces, 0.003, getppid),
    "pieces of 0.5 ms, os.sched_yield": partial(pieces, 0.0005, os.sched_yield),
    "pieces of 0.5 ms, time.sleep(0)": partial(pieces, 0.0005, partial(time.sleep, 0)),
    "pieces of 0.5 ms, time.sleep(0.0001)": partial(pieces, 0.0005, partial(time.sleep, 0.0001)),
    "native pieces, an empty detach": partial(_Testing.hold_in_pieces, 2_000_000, 200),
    "native small pieces, an empty detach": partial(_Testing.hold_in_pieces, 200_000, 2_000),
    "os.stat": partial(for_a_while, partial(os.stat, "/")),
    "small reads": partial(for_a_while, reads()),
    "lock.acquire and release": partial(for_a_while, locking()),
    "zlib of tiny blocks": partial(for_a_while, partial(zlib.compress, bytes(200))),
    "time.sleep(0)": partial(for_a_while, partial(time.sleep, 0)),
}


class Longest(NamedTuple):
    """The longest wait beside a call, in seconds."""

    own: float = 0.0
    """Without the time in which the call's thread waited for a CPU."""
    least: float = 0.0
    """Without that in which the waiting thread did either: the call may have held the GIL meanwhile, or not."""
    elapsed: float = 0.0
    """By the clock."""

    def or_longer(self, other: Longest) -> Longest:
        return Longest(*map(max, self, other))

    def up_to(self, elapsed: float) -> Longest:
        return Longest(*(min(wait, elapsed) for wait in self))


class _Clock:
    """The time by the clock, and without the time in which the call's thread and the calling one waited for a CPU."""

    def __init__(self, caller: int) -> None:
        self.caller = caller
        """The thread that makes the call."""
        self.own = threading.get_native_id()

    def now(self) -> Longest:
        queued, own_queued = run_queue_delay(self.caller) or 0.0, run_queue_delay(self.own) or 0.0
        now = monotonic()
        return Longest(now - queued, now - queued - own_queued, now)

    def late(self, before: Longest) -> Longest:
        """Return how much later than due a thread is that wanted to sleep since ``before``."""
        return Longest(*(now - then - WAITER_SLEEP_SECONDS for now, then in zip(self.now(), before, strict=True)))


def on_core(number: int) -> None:
    """Move the calling thread to one core of those it may use: a thread that is woken on the call's own core is lucky."""
    os.sched_setaffinity(0, {CORES[number % len(CORES)]})


def longest_wait_of_a_thread(call: Call, calls: int = 1) -> Longest:
    """Return how much later than due another Python thread ran at most beside any of these calls."""
    caller, done, ready = threading.get_native_id(), threading.Event(), threading.Event()
    longest, ended = Longest(), inf

    def wait_again_and_again() -> None:
        nonlocal longest
        on_core(1)
        clock = _Clock(caller)
        ready.set()
        while not done.is_set():
            before = clock.now()
            time.sleep(WAITER_SLEEP_SECONDS)
            late = clock.late(before)
            if before.elapsed < ended:
                longest = longest.or_longer(late.up_to(ended - before.elapsed))

    waiter = threading.Thread(target=wait_again_and_again)
    waiter.start()
    ready.wait()
    on_core(0)
    for _ in range(calls):
        call()
        ended = monotonic()
        time.sleep(PAUSE_SECONDS)
        ended = inf
    os.sched_setaffinity(0, CORES)
    done.set()
    waiter.join()
    return longest


def longest_lag_of_a_loop(call: Call, calls: int = 1) -> Longest:
    """Return the longest time for which an event loop stood still while a thread made these calls."""

    def on_a_core_of_its_own() -> int:
        on_core(0)
        return threading.get_native_id()

    async def beside() -> Longest:
        on_core(1)
        loop, longest = asyncio.get_running_loop(), Longest()
        with ThreadPoolExecutor(1) as pool:
            clock = _Clock(await loop.run_in_executor(pool, on_a_core_of_its_own))
            for _ in range(calls):
                before = clock.now()
                work = loop.run_in_executor(pool, call)
                while not work.done():
                    await asyncio.sleep(WAITER_SLEEP_SECONDS)
                    longest = longest.or_longer(clock.late(before))
                    before = clock.now()
        return longest

    try:
        return asyncio.run(beside())
    finally:
        os.sched_setaffinity(0, CORES)
