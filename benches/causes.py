"""Checks the causes and lines that `gilscope.Watch` reports, with scripted programs whose stalls have a known cause.

    python benches/causes.py [--stalls 25] [--only NAME] [--loops asyncio,uvloop] [--load idle,busy]

Each case stalls a loop repeatedly, in a process of its own, and records when. A stall over 100 ms is compared with what
overlapped it most: its cause is right, unknown or wrong, and its line is right if it is in the function that caused it, or
in the caller if the hold continues there. With the load "busy", one spinning process per core runs beside the case. The
case "idle" stalls nothing: every stall that is reported for it is a false one, unless its cause is "no CPU".
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import gilscope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from gilscope.records.stall import Stall

MIN_SECONDS_TO_JUDGE = 0.1
"""Shorter stalls are ignored."""
TEXT = json.dumps([{"name": f"n{i}", "values": [i, i + 1, i + 2]} for i in range(150_000)])
WORDS = "lorem ipsum dolor sit amet " * 400_000
NUMBERS = [(i * 7_919) % 1_000_003 / 7 for i in range(2_500_000)]

log: list[tuple[str, tuple[str, ...], float, float]] = []
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
    "gc on the loop's thread": collected_in_loop,
    "gc on another thread": collected_in_pool,
    "hog and sleep": mixed,
    "idle": idle,
}


def child(name: str, times: int) -> None:
    """Stall a loop, and print a line of JSON for each stall that was reported."""
    stalls: list[Stall] = []
    cyclic = [[index] for index in range(1_200_000)] if "gc" in name else []
    for item in cyclic:
        item.append(item)  # type: ignore[arg-type]
    if cyclic:
        gc.disable()

    async def repeat() -> None:
        for _ in range(times):
            await CASES[name]()
            await asyncio.sleep(0.03)

    watch = gilscope.Watch(on_stall=stalls.append)
    with watch:
        runner = asyncio.Runner(loop_factory=_factory())
        with runner:
            runner.run(repeat())
    for stall in stalls:
        if stall.duration >= MIN_SECONDS_TO_JUDGE:
            print(json.dumps(verdict(stall, watch.began)))


def verdict(stall: Stall, began: float) -> dict[str, object]:
    cause, functions = truth_of(stall.start + began, stall.end + began)
    function = stall.culprit.function.split(".")[-1] if stall.culprit else None
    return {
        "truth": cause,
        "reported": stall.cause,
        "line": not functions or function in functions,
        "detail": f"{stall.duration:.3f} {stall.cause} at {stall.culprit}, truth {cause} {functions}: {stall.evidence}",
    }


def truth_of(start: float, end: float) -> tuple[str, tuple[str, ...]]:
    overlaps = [(min(end, to) - max(start, since), cause, lines) for cause, lines, since, to in log]
    overlap, cause, functions = max(overlaps, default=(0.0, "", ()))
    is_known = overlap >= 0.5 * (end - start)  # else the case did nothing at that time
    return (cause, functions) if is_known else ("no CPU", ())


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if os.environ.get("LOOP") != "uvloop":
        return None
    import uvloop

    return uvloop.new_event_loop


pool = ThreadPoolExecutor(2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stalls", type=int, default=10)
    parser.add_argument("--only", default="")
    parser.add_argument("--loops", default="asyncio,uvloop")
    parser.add_argument("--load", default="idle,busy")
    parser.add_argument("--show", action="store_true", help="show the stalls whose cause or line is not right")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.stalls)
        return
    right = lines = wrong = unknown = judged = 0
    print(f"{'loop':8}{'beside':8}{'case':28}{'stalls':>7}{'cause':>7}{'line':>6}{'unknown':>9}{'wrong':>7}")
    for load in options.load.split(","):
        spinners = []
        if load == "busy":
            spinners = [
                subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)
            ]
        try:
            for loop in options.loops.split(","):
                for name in CASES:
                    if options.only not in name:
                        continue
                    rows = _run(name, options.stalls, loop)
                    good = sum(row["truth"] == row["reported"] for row in rows)
                    lined = sum(bool(row["line"]) for row in rows)
                    lost = sum(row["reported"] == "unknown" for row in rows)
                    print(
                        f"{loop:8}{load:8}{name:28}{len(rows):>7}{good:>7}{lined:>6}{lost:>9}{len(rows) - good - lost:>7}",
                        flush=True,
                    )
                    for row in rows:
                        if options.show and (row["truth"] != row["reported"] or not row["line"]):
                            print("   ", str(row["detail"])[:600])
                    judged, right, lines = judged + len(rows), right + good, lines + lined
                    unknown, wrong = unknown + lost, wrong + len(rows) - good - lost
        finally:
            for spinner in spinners:
                spinner.send_signal(signal.SIGKILL)
                spinner.wait()
    print(
        f"of {judged} stalls over {MIN_SECONDS_TO_JUDGE * 1000:.0f} ms: cause right {right}, line right {lines}, unknown {unknown}, wrong {wrong}"
    )


def _run(name: str, stalls: int, loop: str) -> list[dict[str, object]]:
    done = subprocess.run(
        [sys.executable, __file__, "--child", name, "--stalls", str(stalls)],
        env={**os.environ, "LOOP": loop},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"    {name} failed with status {done.returncode}:\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    main()
