"""What it costs to await native work, by who carries the result to the loop: each way with empty work, side by side.

    python benches/awaitables.py            a quarter of an hour on a busy machine; prints the tables of docs/bridge.md
    python benches/awaitables.py --quick    a tenth of the rounds, to see that it works

Each condition (event loop, what runs beside) has a process of its own, in which the ways take turns, round by round.
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
BESIDE = {
    "quiet": "nothing beside it",
    "awake": "two nice'd spinning processes beside it",
    "one": "one Python thread spinning in it",
    "two": "two Python threads spinning in it",
}
SPINNERS = {"one": 1, "two": 2}
CANCELLATIONS = 300
FOR_EVER = 2**64 - 1
SPIN = "import os\nwhile os.getppid() == {parent}:\n    for _ in range(10**6): pass"


def nothing() -> None:
    """Be the work of every way."""


def hand_made() -> Way:
    """What a careful hand makes of a thread: it sets a future by ``call_soon_threadsafe``."""
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
        "call_soon_threadsafe": hand_made(),
        "bridge": lambda: countdown_bridge(0),
        "already done": done_already,
    }


def spent() -> tuple[float, ...]:
    """Return the voluntary context switches of the process and of the loop's thread, and that thread's processor time."""
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
    """Measure every way ``rounds`` times, one after the other; ``awaits`` of them one by one, and then so many at once."""
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
    """Cancel work for ever on the one worker; return how long it took until the work behind it was done and delivered."""
    times = []
    for _ in range(CANCELLATIONS):
        in_the_way, behind = countdown_bridge(FOR_EVER), countdown_bridge(0)
        await asyncio.sleep(0.002)
        begun = time.perf_counter()
        in_the_way.cancel()
        await behind
        times.append(time.perf_counter() - begun)
    return times


async def longest_turn(results: int) -> tuple[float, float]:
    """Have so many results wait for the loop; return its longest turn until all are settled, and the sum of all turns.

    In time that the loop's thread ran: what else the machine does is not the bridge's stall.
    """
    await_all = asyncio.gather(*[countdown_bridge(0) for _ in range(results)])
    time.sleep(0.5)  # noqa: ASYNC251 - they all arrive while the loop stands still
    begun = last = time.thread_time()
    longest = 0.0
    while not await_all.done():
        await asyncio.sleep(0)
        now = time.thread_time()
        longest, last = max(longest, now - last), now
    return longest, last - begun


def child(request: dict[str, Any]) -> object:
    """Do what ``request`` says, in this process."""
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    if request["loop"] == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    for _ in range(SPINNERS.get(request["beside"], 0)):
        threading.Thread(target=lambda: exec("while True: pass"), daemon=True).start()  # noqa: S102
    with asyncio.Runner(loop_factory=factory) as runner:
        if request["what"] == "cancel":
            from gilscope._core import bridge_workers

            cores = os.sched_getaffinity(0)
            os.sched_setaffinity(0, {min(cores)})
            bridge_workers()  # as many as there are cores: one
            os.sched_setaffinity(0, cores)
            return runner.run(cancellations())
        if request["what"] == "flood":
            return [runner.run(longest_turn(10_000)) for _ in range(20)]
        return runner.run(measure(request["rounds"], request["awaits"]))


@contextmanager
def beside(condition: str) -> Iterator[None]:
    spin = ["nice", "-n", "19", sys.executable, "-c", SPIN.format(parent=os.getpid())]
    spinning = [subprocess.Popen(spin) for _ in range(2 if condition == "awake" else 0)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def in_a_process(**request: object) -> Any:
    command = [sys.executable, __file__, "--child", json.dumps(request)]
    with beside(str(request["beside"])):
        return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def report(loop: str, condition: str, records: list[dict[str, Any]]) -> None:
    print(f"\n### {loop}, {BESIDE[condition]}\n")
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

    def processor(number: int) -> float:
        return float(found["bridge", number]["spent"][2] - found["already done", number]["spent"][2])

    bridge, tokio = found["bridge", 0], found["countdown_tokio", 0]
    print(
        f"\nbridge / run_in_executor: one by one {at('bridge', 0) / at('run_in_executor', 0):.2f}, "
        f"1000 at once {net('bridge', 1000) / net('run_in_executor', 1000):.3f}, p10 "
        f"{net('bridge', 1000, 9) / net('run_in_executor', 1000, 9):.3f} (less what is done already costs); "
        f"bridge / countdown_tokio, one by one: mean {bridge['mean'] / tokio['mean']:.2f}, "
        f"p99 {at('bridge', 0, 98) / at('countdown_tokio', 0, 98):.2f}; "
        f"bridge, 10 000 at once / 100: time {net('bridge', 10_000) / net('bridge', 100):.2f}, "
        f"p10 {net('bridge', 10_000, 9) / net('bridge', 100, 9):.2f}, "
        f"processor time of the loop's thread {processor(10_000) / processor(100):.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, help="for each condition; 20 by default, 5 where Python threads spin")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], action="append")
    parser.add_argument("--beside", choices=list(BESIDE), action="append")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        json.dump(child(json.loads(options.child)), sys.stdout)
        return
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores. Microseconds an await: medians (first deciles).")
    for loop in options.loop or ["asyncio", "uvloop"]:
        for condition in options.beside or BESIDE:
            rounds, awaits = (5, 200) if condition in SPINNERS else (20, 200)
            rounds = options.rounds or (2 if options.quick else rounds)
            awaits = awaits // 10 if options.quick else awaits
            request = {"what": "ways", "loop": loop, "beside": condition, "rounds": rounds, "awaits": awaits}
            report(loop, condition, in_a_process(**request))
    for loop in options.loop or ["asyncio", "uvloop"]:
        took = sorted(in_a_process(what="cancel", loop=loop, beside="quiet"))
        print(
            f"\n{loop}, from cancelling to the result of the work behind: "
            f"p50 {median(took) * 1e6:.0f} us, p99 {took[-CANCELLATIONS // 100] * 1e6:.0f}, max {took[-1] * 1e6:.0f}"
        )
        turns = in_a_process(what="flood", loop=loop, beside="quiet")
        longest, whole = (median(column) * 1e3 for column in zip(*turns, strict=True))
        print(
            f"{loop}, 10 000 results at a standing loop: longest turn {longest:.2f} ms of {whole:.1f} (medians of 20)"
        )


if __name__ == "__main__":
    main()
