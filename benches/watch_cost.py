"""Measures what a watch costs, and what gilknocker and other tools cost.

    python benches/watch_cost.py [--rounds 15] [--only NAME] [--seconds 20]

Each cost is the median of ratios, watched to unwatched, of pairs in one process and in random order. There is one for the
work's wall time and one for the CPU time of its own threads: on a busy machine only the latter is meaningful. In "null" both
runs of a pair are unwatched: a difference within its range is noise. In "a thread" a Python thread waits during the run: this
is what a second thread costs by itself, because the kernel and malloc then count references. Every watch has such a thread.
"gilscope" is a watch that has lasted for some seconds; "at first" is one that has just started, which samples most often.
Tools that are not installed are skipped.

What the threads of a watch use themselves, and how often they are woken, is measured too, beside a service that is idle, one that
handles requests, and busy threads (``--only own``).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib
import random
import statistics
import threading
import time
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from ctypes import CDLL, PyDLL
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import gilscope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator


Watch = Any
"""Returns a context in which one of the tools watches."""


Cost = tuple[float, float]
"""Wall time, and CPU time of the threads that did the work."""


SECONDS_UNTIL_STEADY = 3.6
"""A watch samples most often in its first three seconds."""


class Clocks:
    """Measures the wall time and this thread's CPU time in a context."""

    def __enter__(self) -> Self:
        self._wall, self._cpu = time.perf_counter(), time.thread_time()
        return self

    def __exit__(self, *exception: object) -> None:
        self.cost: Cost = time.perf_counter() - self._wall, time.thread_time() - self._cpu


def spin(watch: Watch) -> Cost:
    """Pure Python on one thread."""
    steps = 0
    with watch(), Clocks() as clocks:
        while steps < 6_000_000:
            steps += 1
    return clocks.cost


def eight_threads(watch: Watch) -> Cost:
    """Eight busy Python threads."""

    def work() -> None:
        steps = 0
        while steps < 600_000:
            steps += 1

    with watch():
        return _threads([work] * 8)


def released_on_every_core(watch: Watch) -> Cost:
    """Two threads of work that has released the GIL."""
    data = bytes(4_000_000)

    def work() -> None:
        for _ in range(60):
            hashlib.sha256(data).digest()

    with watch():
        return _threads([work] * 2)


def _threads(work: list[Callable[[], None]]) -> Cost:
    costs: list[Cost] = []

    def timed(each: Callable[[], None]) -> None:
        with Clocks() as clocks:
            each()
        costs.append(clocks.cost)

    threads = [threading.Thread(target=timed, args=(each,)) for each in work]
    with Clocks() as clocks:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return clocks.cost[0], sum(cpu for _, cpu in costs)


def loop_turns(watch: Watch) -> Cost:
    """60 000 turns of a loop that has nothing else to do."""

    async def main() -> Cost:
        async with in_loop(watch):
            await asyncio.sleep(0.02)
            with Clocks() as clocks:
                for _ in range(60_000):
                    await asyncio.sleep(0)
            return clocks.cost

    return asyncio.run(main())


def echo(watch: Watch) -> Cost:
    """An asyncio echo server, and 20 clients in the same process that each send 200 messages."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1024):
            writer.write(data)
        writer.close()

    async def client(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(200):
            writer.write(b"x" * 100)
            await reader.readexactly(100)
        writer.close()

    async def main() -> Cost:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with watch(), Clocks() as clocks:
            await asyncio.gather(*(client(port) for _ in range(20)))
        server.close()
        return clocks.cost

    return asyncio.run(main())


def turns_beside_a_hog(watch: Watch) -> Cost:
    """A thread that gets its turn at the GIL 100 times, beside another one that holds the GIL for 10 ms again and again."""
    hold = PyDLL(None).usleep
    return _turns(watch, [lambda: hold(10_000)], 100)


def turns_beside_python(watch: Watch) -> Cost:
    """A thread that gets its turn at the GIL 60 times, beside three busy Python threads."""

    def spin() -> None:
        for _ in range(1000):
            pass

    return _turns(watch, [spin] * 3, 60)


def _turns(watch: Watch, others: list[Callable[[], object]], times: int) -> Cost:
    end = threading.Event()

    def again_and_again(work: Callable[[], object]) -> None:
        while not end.is_set():
            work()

    threads = [threading.Thread(target=again_and_again, args=(work,)) for work in others]
    with watch():
        for thread in threads:
            thread.start()
        with Clocks() as clocks:
            for _ in range(times):
                time.sleep(0)  # releases the GIL, and has to acquire it again
        end.set()
        for thread in threads:
            thread.join()
    return clocks.cost


@contextmanager
def steady() -> Iterator[None]:
    """Watch with a watch that has lasted for some seconds."""
    with gilscope.Watch():
        CDLL(None).usleep(int(SECONDS_UNTIL_STEADY * 1e6))
        yield


@contextmanager
def gilknocker() -> Iterator[None]:
    knocker = importlib.import_module("gilknocker").KnockKnock()
    knocker.start()
    try:
        yield
    finally:
        knocker.stop()


@contextmanager
def idle_thread() -> Iterator[None]:
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@asynccontextmanager
async def asynclens() -> AsyncIterator[None]:
    watchdog = importlib.import_module("asynclens").AsyncWatchdog(threshold_ms=10_000)
    watchdog.start()
    try:
        yield
    finally:
        await watchdog.stop()


@asynccontextmanager
async def pyleak() -> AsyncIterator[None]:
    async with importlib.import_module("pyleak").no_event_loop_blocking():
        yield


@asynccontextmanager
async def in_loop(watch: Watch) -> AsyncIterator[None]:
    """Enter a context of either kind."""
    context = watch()
    if hasattr(context, "__aenter__"):
        async with context:
            yield
    else:
        with context:
            yield


def peers(*contexts: Watch) -> dict[str, Watch]:
    """Return gilscope, and those of ``contexts`` that are installed."""
    installed = {context.__name__: context for context in contexts if find_spec(context.__name__)}
    return {"null": nullcontext, "a thread": idle_thread, "gilscope": steady, "at first": gilscope.Watch, **installed}


COSTS: dict[str, tuple[Callable[[Watch], Cost], tuple[Watch, ...]]] = {
    "a pure-Python spin": (spin, (gilknocker,)),
    "8 busy Python threads": (eight_threads, (gilknocker,)),
    "2 threads of released work": (released_on_every_core, (gilknocker,)),
    "60 000 loop turns": (loop_turns, (gilknocker, asynclens, pyleak)),
    "an echo server": (echo, (gilknocker,)),
    "turns at the GIL beside a hog": (turns_beside_a_hog, ()),
    "turns beside 3 Python threads": (turns_beside_python, ()),
}


async def idle_service() -> None:
    """A server that waits for connections, and gets none."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with server:
        await asyncio.sleep(3600)


async def busy_service() -> None:
    """A service that handles 200 requests a second, each for 1 ms, with the GIL held for a fifth of the time."""
    while True:
        until = time.perf_counter() + 0.001
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(0.004)


async def busy_threads() -> None:
    """Three busy Python threads, beside a loop that waits."""

    def spin() -> None:
        while not ended:
            pass

    ended: list[None] = []
    threads = [threading.Thread(target=spin) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        await asyncio.sleep(3600)
    finally:
        ended.append(None)
        for thread in threads:
            thread.join()


def own_costs(seconds: float) -> None:
    """Print what the threads of a watch use of a core, and how often they are woken."""
    for service in (idle_service, busy_service, busy_threads):
        before = {int(task.name) for task in Path("/proc/self/task").iterdir()}
        with gilscope.Watch():
            own = {int(task.name) for task in Path("/proc/self/task").iterdir()} - before
            cpu, woken = asyncio.run(_measured(service(), own, seconds))
        print(f"  {service.__name__:20} {cpu:6.2%} of a core, {woken:5.1f} wakeups a second", flush=True)


async def _measured(service: Coroutine[Any, Any, None], threads: set[int], seconds: float) -> tuple[float, float]:
    task = asyncio.create_task(service)
    await asyncio.sleep(SECONDS_UNTIL_STEADY)
    begin, (cpu, woken) = time.monotonic(), _used(threads)
    await asyncio.sleep(seconds)
    took, (cpu_after, woken_after) = time.monotonic() - begin, _used(threads)
    task.cancel()
    await asyncio.wait([task])
    return (cpu_after - cpu) / took, (woken_after - woken) / took


def _used(threads: set[int]) -> tuple[float, int]:
    """Return the CPU time of these threads, and how often they have been put on a CPU."""
    cpu, woken = 0.0, 0
    for thread in threads:
        with suppress(OSError):  # it has ended
            cpu += time.clock_gettime(~thread << 3 | 6)  # the CPU clock of a thread: see linux/posix-timers.h
            woken += int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[2])
    return cpu, woken


def cost(name: str, rounds: int) -> None:
    work, contexts = COSTS[name]
    watched = peers(*contexts)
    ratios: dict[str, list[tuple[float, float]]] = {peer: [] for peer in watched}
    work(nullcontext)
    for _ in range(rounds):
        for peer, watch in random.sample(list(watched.items()), len(watched)):
            if random.random() < 0.5:
                with_it, without = work(watch), work(nullcontext)
            else:
                without, with_it = work(nullcontext), work(watch)
            ratios[peer].append((with_it[0] / without[0], with_it[1] / without[1]))
    for peer, pairs in ratios.items():
        for kind, values in (("wall", [wall for wall, _ in pairs]), ("cpu", [cpu for _, cpu in pairs])):
            low, middle, high = statistics.quantiles(values, n=4)
            print(f"  {name:30}{peer:12}{kind:6}{middle:7.3f}   [{low:.3f} .. {high:.3f}]", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="")
    parser.add_argument("--seconds", type=float, default=20.0, help="for what the threads of a watch use themselves")
    options = parser.parse_args()
    if options.only in "own":
        own_costs(options.seconds)
    for name in COSTS:
        if options.only in name:
            cost(name, options.rounds)


if __name__ == "__main__":
    main()
