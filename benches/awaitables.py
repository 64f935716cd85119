"""Measures what it costs to await native work, for each way to deliver the result to the event loop, with empty work.

    python benches/awaitables.py            prints the tables of docs/bridge.md; takes a quarter of an hour on a busy machine
    python benches/awaitables.py --quick    a tenth of the rounds, to check that the bench works

Each condition (event loop, background load) gets its own process. In it the ways take turns, round by round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from queue import SimpleQueue
from resource import RUSAGE_SELF, RUSAGE_THREAD, getrusage
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from gilscope import countdown_bridge, countdown_tokio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    Way = Callable[[], Awaitable[object]]

AT_ONCE = (1, 10, 100, 1000, 10_000)
BACKGROUND = {
    "quiet": "no background load",
    "awake": "two busy processes at nice 19 in the background",
    "one": "one busy Python thread in the same process",
    "two": "two busy Python threads in the same process",
}
BUSY_THREADS = {"one": 1, "two": 2}
CANCELLATIONS = 300
FOR_EVER = 2**64 - 1
BUSY_PROCESS = "import os\nwhile os.getppid() == {parent}:\n    for _ in range(10**6): pass"


def nothing() -> None:
    """Do the empty work that is awaited."""


def worker_thread() -> Way:
    """Start a Python thread that sets the results of futures with ``call_soon_threadsafe``."""
    loop = asyncio.get_running_loop()
    work: SimpleQueue[asyncio.Future[None]] = SimpleQueue()

    def settle(future: asyncio.Future[None]) -> None:
        if not future.done():
            future.set_result(None)

    def worker() -> None:
        while True:
            future = work.get()
            nothing()
            loop.call_soon_threadsafe(settle, future)

    def start() -> asyncio.Future[None]:
        future = loop.create_future()
        work.put(future)
        return future

    threading.Thread(target=worker, daemon=True).start()
    return start


def done_already() -> asyncio.Future[None]:
    future = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future


def ways() -> dict[str, Way]:
    loop = asyncio.get_running_loop()
    return {
        "countdown_tokio": lambda: countdown_tokio(0),
        "run_in_executor": lambda: loop.run_in_executor(None, nothing),
        "to_thread": lambda: asyncio.to_thread(nothing),
        "call_soon_threadsafe": worker_thread(),
        "bridge": lambda: countdown_bridge(0),
        "already done": done_already,
    }


def spent() -> tuple[float, ...]:
    """Return the voluntary context switches of the process and of the loop's thread, and that thread's CPU time in us."""
    return getrusage(RUSAGE_SELF).ru_nvcsw, getrusage(RUSAGE_THREAD).ru_nvcsw, time.thread_time() * 1e6


async def one_by_one(way: Way, awaits: int) -> list[float]:
    times = []
    for _ in range(awaits):
        begun = time.perf_counter()
        await way()
        times.append(time.perf_counter() - begun)
    return times


async def at_once(way: Way, number: int) -> list[float]:
    begun = time.perf_counter()
    await asyncio.gather(*[way() for _ in range(number)])
    return [(time.perf_counter() - begun) / number]


async def measure(rounds: int, awaits: int) -> list[dict[str, Any]]:
    """Measure every way ``rounds`` times: first ``awaits`` awaits one by one, then each number of ``AT_ONCE`` at once."""
    times: dict[tuple[str, int], list[float]] = {}
    spending: dict[tuple[str, int], list[list[float]]] = {}
    candidates = ways()
    for way in candidates.values():
        await at_once(way, 100)  # starts the threads
    for _ in range(rounds):
        for number in (0, *AT_ONCE):
            for name, way in candidates.items():
                before = spent()
                taken = await (at_once(way, number) if number else one_by_one(way, awaits))
                after = spent()
                count = number or awaits
                times.setdefault((name, number), []).extend(taken)
                per_await = [(late - early) / count for early, late in zip(before, after, strict=True)]
                spending.setdefault((name, number), []).append(per_await)
    return [
        {
            "way": way,
            "at_once": number,
            "mean": sum(taken) / len(taken),
            "quantiles": [q * 1e6 for q in quantiles(taken, n=100, method="inclusive")],
            "spent": [median(column) for column in zip(*spending[way, number], strict=True)],
        }
        for (way, number), taken in times.items()
    ]


async def cancellations() -> list[float]:
    """Cancel endless work on the only worker; return how long it took until the result of the queued work was delivered."""
    times = []
    for _ in range(CANCELLATIONS):
        endless, queued = countdown_bridge(FOR_EVER), countdown_bridge(0)
        await asyncio.sleep(0.002)
        begun = time.perf_counter()
        endless.cancel()
        await queued
        times.append(time.perf_counter() - begun)
    return times


async def longest_turn(results: int) -> tuple[float, float]:
    """Have this many results wait for the loop; return its longest turn until all are settled, and the sum of all turns.

    Turns are measured in CPU time of the loop's thread, which other programs do not lengthen.
    """
    await_all = asyncio.gather(*[countdown_bridge(0) for _ in range(results)])
    time.sleep(0.5)  # noqa: ASYNC251 - all results arrive while the loop is blocked
    begun = last = time.thread_time()
    longest = 0.0
    while not await_all.done():
        await asyncio.sleep(0)
        now = time.thread_time()
        longest, last = max(longest, now - last), now
    return longest, last - begun


def child(request: dict[str, Any]) -> object:
    """Run one request in this process, and return its measurements."""
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    if request["loop"] == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    for _ in range(BUSY_THREADS.get(request["background"], 0)):
        threading.Thread(target=lambda: exec("while True: pass"), daemon=True).start()  # noqa: S102
    with asyncio.Runner(loop_factory=factory) as runner:
        if request["what"] == "cancel":
            from gilscope._core import bridge_workers

            cores = os.sched_getaffinity(0)
            os.sched_setaffinity(0, {min(cores)})
            bridge_workers()  # sets the limit to the number of cores: one
            os.sched_setaffinity(0, cores)
            return runner.run(cancellations())
        if request["what"] == "flood":
            return [runner.run(longest_turn(10_000)) for _ in range(20)]
        return runner.run(measure(request["rounds"], request["awaits"]))


@contextmanager
def background(condition: str) -> Iterator[None]:
    busy = ["nice", "-n", "19", sys.executable, "-c", BUSY_PROCESS.format(parent=os.getpid())]
    processes = [subprocess.Popen(busy) for _ in range(2 if condition == "awake" else 0)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def in_a_process(**request: object) -> Any:
    command = [sys.executable, __file__, "--child", json.dumps(request)]
    with background(str(request["background"])):
        return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def report(loop: str, condition: str, records: list[dict[str, Any]]) -> None:
    print(f"\n### {loop}, {BACKGROUND[condition]}\n")
    heads = [f"{number:,} at once".replace(",", " ") for number in AT_ONCE]
    print("| way | one by one p50 / p99 | mean | " + " | ".join(heads) + " | switches: process, loop | at 1 000 |")
    print("|---|---|---|" + "---|" * len(AT_ONCE) + "---|---|")
    found = {(record["way"], record["at_once"]): record for record in records}
    for way in dict.fromkeys(record["way"] for record in records):
        single = found[way, 0]
        cells = [
            f"{single['quantiles'][49]:.1f} / {single['quantiles'][98]:.0f}",
            f"{single['mean'] * 1e6:.1f}",
            *("{:.1f} ({:.1f})".format(*(found[way, number]["quantiles"][q] for q in (49, 9))) for number in AT_ONCE),
            "{:.2f}, {:.2f}".format(*single["spent"]),
            f"{found[way, 1000]['spent'][0]:.3f}",
        ]
        print(f"| {way} | " + " | ".join(cells) + " |")

    def at(way: str, number: int, quantile: int = 49) -> float:
        return float(found[way, number]["quantiles"][quantile])

    def net(way: str, number: int, quantile: int = 49) -> float:
        return at(way, number, quantile) - at("already done", number, quantile)

    def cpu_time(number: int) -> float:
        return float(found["bridge", number]["spent"][2] - found["already done", number]["spent"][2])

    bridge, tokio = found["bridge", 0], found["countdown_tokio", 0]
    print(
        f"\nbridge / run_in_executor: one by one {at('bridge', 0) / at('run_in_executor', 0):.2f}, "
        f"1000 at once {net('bridge', 1000) / net('run_in_executor', 1000):.3f}, p10 "
        f"{net('bridge', 1000, 9) / net('run_in_executor', 1000, 9):.3f} (less the cost of futures that are done already); "
        f"bridge / countdown_tokio, one by one: mean {bridge['mean'] / tokio['mean']:.2f}, "
        f"p99 {at('bridge', 0, 98) / at('countdown_tokio', 0, 98):.2f}; "
        f"bridge, 10 000 at once / 100: time {net('bridge', 10_000) / net('bridge', 100):.2f}, "
        f"p10 {net('bridge', 10_000, 9) / net('bridge', 100, 9):.2f}, "
        f"CPU time of the loop's thread {cpu_time(10_000) / cpu_time(100):.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, help="for each condition; default: 20, or 5 with busy Python threads")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], action="append")
    parser.add_argument("--background", choices=list(BACKGROUND), action="append")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        json.dump(child(json.loads(options.child)), sys.stdout)
        return
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores. Microseconds per await: medians (first deciles).")
    for loop in options.loop or ["asyncio", "uvloop"]:
        for condition in options.background or BACKGROUND:
            rounds, awaits = (5, 200) if condition in BUSY_THREADS else (20, 200)
            rounds = options.rounds or (2 if options.quick else rounds)
            awaits = awaits // 10 if options.quick else awaits
            request = {"what": "ways", "loop": loop, "background": condition, "rounds": rounds, "awaits": awaits}
            report(loop, condition, in_a_process(**request))
    for loop in options.loop or ["asyncio", "uvloop"]:
        took = sorted(in_a_process(what="cancel", loop=loop, background="quiet"))
        print(
            f"\n{loop}, from cancelling to the result of the queued work: "
            f"p50 {median(took) * 1e6:.0f} us, p99 {took[-CANCELLATIONS // 100] * 1e6:.0f}, max {took[-1] * 1e6:.0f}"
        )
        turns = in_a_process(what="flood", loop=loop, background="quiet")
        longest, whole = (median(column) * 1e3 for column in zip(*turns, strict=True))
        print(
            f"{loop}, 10 000 results for a blocked loop: longest turn {longest:.2f} ms of {whole:.1f} (medians of 20)"
        )


if __name__ == "__main__":
    main()
