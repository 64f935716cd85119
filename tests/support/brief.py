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
from functools import partial
from typing import Any

from gilscope._core import _Testing, monotonic, run_queue_delay

Call = Callable[[], Any]
CORES = sorted(os.sched_getaffinity(0))
CALL_SECONDS = 0.3
WAITER_SLEEP_SECONDS = 0.001

hold = ctypes.PyDLL(None).usleep
getppid = ctypes.CDLL(None).getppid


def pieces(piece: float, brief: Call) -> None:
    """Hold the GIL in pieces, with a release between two of them."""
    for _ in range(int(CALL_SECONDS / piece)):
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


def on_core(number: int) -> None:
    """Move the calling thread to one core of those it may use: a thread that is woken on the call's own core is lucky."""
    os.sched_setaffinity(0, {CORES[number % len(CORES)]})


def longest_wait_of_a_thread(call: Call) -> float:
    """Return how much later than due another Python thread ran at most, without the time in which ``call``'s had no CPU."""
    worst, done, ready = 0.0, threading.Event(), threading.Event()
    caller = threading.get_native_id()

    def wait_again_and_again() -> None:
        nonlocal worst
        on_core(1)
        ready.set()
        while not done.is_set():
            began, queued = monotonic(), run_queue_delay(caller) or 0.0
            time.sleep(WAITER_SLEEP_SECONDS)
            late = monotonic() - began - WAITER_SLEEP_SECONDS - ((run_queue_delay(caller) or 0.0) - queued)
            if not done.is_set():
                worst = max(worst, late)
            elif began < ended:
                worst = max(worst, min(late, ended - began - WAITER_SLEEP_SECONDS))

    waiter = threading.Thread(target=wait_again_and_again)
    waiter.start()
    ready.wait()
    on_core(0)
    call()
    ended = monotonic()
    os.sched_setaffinity(0, CORES)
    done.set()
    waiter.join()
    return worst


def longest_lag_of_a_loop(call: Call) -> float:
    """Return the longest time for which an event loop stood still while ``call`` ran in a thread."""

    def on_a_core_of_its_own() -> None:
        on_core(0)
        call()

    async def beside() -> float:
        on_core(1)
        worst, last = 0.0, monotonic()
        work = asyncio.get_running_loop().run_in_executor(None, on_a_core_of_its_own)
        while not work.done():
            await asyncio.sleep(WAITER_SLEEP_SECONDS)
            worst, last = max(worst, monotonic() - last - WAITER_SLEEP_SECONDS), monotonic()
        return max(worst, monotonic() - last)

    try:
        return asyncio.run(beside())
    finally:
        os.sched_setaffinity(0, CORES)
