"""Stalls an event loop for known causes: the cases of causes.py, and a service that attach.py looks at from outside.

    python benches/stalling.py CASE [--times 10] [--loop asyncio]

As a service it knows nothing of gilscope. It waits for a line on its standard input, stalls its loop, and prints what it did.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import json
import os
import re
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

MIN_SECONDS_TO_JUDGE = 0.1
"""Shorter stalls are ignored."""
TEXT = json.dumps([{"name": f"n{i}", "values": [i, i + 1, i + 2]} for i in range(150_000)])
WORDS = "lorem ipsum dolor sit amet " * 400_000
NUMBERS = [(i * 7_919) % 1_000_003 / 7 for i in range(2_500_000)]

Done = tuple[str, Sequence[str], float, float]
log: list[Done] = []
"""What the case did: the cause, the functions whose lines are right, begin, end."""


@contextmanager
def truth(cause: str, *functions: str) -> Iterator[None]:
    start = time.monotonic()
    try:
        yield
    finally:
        log.append((cause, functions, start, time.monotonic()))


def hold(seconds: float) -> None:
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


def parse() -> object:
    return json.loads(TEXT)


def substitute() -> str:
    return re.sub(r"(\w+) (\w+)", "x", WORDS)


def sort() -> list[float]:
    return sorted(NUMBERS)


def spin(seconds: float) -> int:
    steps, end = 0, time.thread_time() + seconds
    while time.thread_time() < end:
        steps += 1
    return steps


def nap(seconds: float) -> None:
    time.sleep(seconds)


def acquire(seconds: float) -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire(timeout=seconds)


def collect() -> int:
    return gc.collect()


def pooled(function: Callable[..., object], *args: object) -> Callable[[], Awaitable[None]]:
    """Return a case with a hog: ``function`` in a pool thread."""

    async def once() -> None:
        def work() -> None:
            with truth("starved by a hog", function.__name__, "work"):
                function(*args)

        await asyncio.get_running_loop().run_in_executor(pool, work)

    return once


def called(cause: str, function: Callable[..., object], *args: object) -> Callable[[], Awaitable[None]]:
    async def once() -> None:
        with truth(cause, function.__name__, "once"):
            function(*args)

    return once


async def turns() -> None:
    """Sixteen Python threads beside a loop that only sleeps."""
    stop = threading.Event()

    def spinner() -> None:
        while not stop.is_set():
            pass

    threads = [threading.Thread(target=spinner) for _ in range(16)]
    with truth("blocked, waiting", "turns"):  # Thread.start waits for the thread to run
        for thread in threads:
            thread.start()
    with truth("starved by turns", "spinner"):
        for _ in range(10):
            await asyncio.sleep(0.01)
    stop.set()
    with truth("blocked, waiting", "turns"):
        for thread in threads:
            thread.join()


async def stopped() -> None:
    """Another process stops this one for a while, like a hypervisor or a cgroup does."""
    code = f"import os, time; os.kill({os.getpid()}, 19); time.sleep(0.2); os.kill({os.getpid()}, 18)"
    with truth("no CPU"):
        process = await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", code)
        await process.wait()


async def stopped_in_callback() -> None:
    """As `stopped`, while a callback runs: it needs little CPU time, and gets it late."""
    stop = f"import os, time; print(flush=True); input(); os.kill({os.getpid()}, 19); time.sleep(0.2); os.kill({os.getpid()}, 18)"
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", stop, stdin=pipe, stdout=pipe)
    if process.stdin and process.stdout:
        await process.stdout.readline()
        with truth("no CPU"):
            process.stdin.write(b"go on\n")
            spin(0.04)
    await process.wait()


async def collected_in_loop() -> None:
    with truth("garbage collection", "collect", "collected_in_loop"):
        collect()


async def collected_in_pool() -> None:
    def work() -> None:
        with truth("garbage collection", "collect", "work"):
            collect()

    await asyncio.get_running_loop().run_in_executor(pool, work)


async def mixed() -> None:
    """A hog in a thread pool, and soon after it a sleep in a coroutine."""
    hogging = asyncio.ensure_future(pooled(hold, 0.2)())
    await asyncio.sleep(0.25)
    await called("blocked, waiting", nap, 0.2)()
    await hogging


async def idle() -> None:
    await asyncio.sleep(0.25)


CASES: dict[str, Callable[[], Awaitable[None]]] = {
    "json.loads in a coroutine": called("blocked, computing", parse),
    "a C call in a coroutine": called("blocked, computing", hold, 0.15),
    "Python in a coroutine": called("blocked, computing", spin, 0.15),
    "time.sleep in a coroutine": called("blocked, waiting", nap, 0.15),
    "a lock in a coroutine": called("blocked, waiting", acquire, 0.15),
    "a hog: C call": pooled(hold, 0.2),
    "a hog: json.loads": pooled(parse),
    "a hog: re.sub": pooled(substitute),
    "a hog: sorted": pooled(sort),
    "turns of 16 threads": turns,
    "stopped": stopped,
    "stopped in a callback": stopped_in_callback,
    "gc on the loop's thread": collected_in_loop,
    "gc on another thread": collected_in_pool,
    "hog and sleep": mixed,
    "idle": idle,
}


def prepare(name: str) -> object:
    """Return what must stay alive as long as the case runs: garbage collections are the case's own then."""
    cyclic: list[list[object]] = [[index] for index in range(1_200_000)] if "gc" in name else []
    for item in cyclic:
        item.append(item)
    if cyclic:
        gc.disable()
    return cyclic


async def repeat(name: str, times: int) -> None:
    for _ in range(times):
        await CASES[name]()
        await asyncio.sleep(0.03)


def truth_of(start: float, end: float, done: Sequence[Done] = log) -> tuple[str, Sequence[str]]:
    """Return the cause of a stall, and the functions whose lines are right."""
    overlaps = [(min(end, to) - max(start, since), cause, lines) for cause, lines, since, to in done]
    overlap, cause, functions = max(overlaps, default=(0.0, "", ()))
    is_known = overlap >= 0.5 * (end - start)  # else the case did nothing at that time
    return (cause, functions) if is_known else ("no CPU", ())


async def tick() -> None:
    """Give the loop something to do all the time: a loop that has nothing to do is not late."""
    while True:  # noqa: ASYNC110 - it waits for nothing
        await asyncio.sleep(0.005)


def loop_factory(loop: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if loop != "uvloop":
        return None
    import uvloop

    return uvloop.new_event_loop


pool = ThreadPoolExecutor(2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--loop", default="asyncio", choices=["asyncio", "uvloop"])
    options = parser.parse_args()
    kept = prepare(options.case)

    async def serve() -> None:
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        log.clear()
        ticking = asyncio.ensure_future(tick())
        await repeat(options.case, options.times)
        await asyncio.sleep(0.2)
        ticking.cancel()

    with asyncio.Runner(loop_factory=loop_factory(options.loop)) as runner:
        runner.run(serve())
    print(json.dumps(log), flush=True)
    sys.stdin.readline()
    del kept


if __name__ == "__main__":
    main()
