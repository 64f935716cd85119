"""Checks how exact a watch's figures are, how soon it reports, and whether it leaves anything behind; next to gilknocker.

python benches/watch_truth.py [--only NAME] [--times 10000] [--minutes 10]
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import random
import threading
import time
from ctypes import CDLL, PyDLL
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gilscope

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gilscope.records.stall import Stall


SECONDS_UNTIL_STEADY = 3.6
"""A watch samples most often in its first three seconds, and lets no loop sleep."""


def shares() -> None:
    """The share of time with the GIL held in known duty cycles of 2 s each, as read by gilscope and by gilknocker.

    A watch samples most often in its first three seconds, so it is read at first and later.
    """
    for wait in (0.1, SECONDS_UNTIL_STEADY):
        print(f"  after {wait} s:")
        _shares(wait)


def _shares(wait: float) -> None:
    hold, release = PyDLL(None).usleep, CDLL(None).usleep
    for busy, free in [(0, 1), (0.05, 0.95), (1, 9), (3, 7), (5, 5), (9, 1), (50, 450), (1, 0)]:
        end = threading.Event()
        frees: list[tuple[float, float]] = []

        def cycle(
            busy: float = busy,
            free: float = free,
            end: threading.Event = end,
            frees: list[tuple[float, float]] = frees,
        ) -> None:
            while not end.is_set():
                if busy:
                    hold(int(busy * 1000))
                if free:
                    start = time.monotonic()
                    release(int(free * 1000))
                    frees.append((start, time.monotonic()))

        peer = importlib.import_module("gilknocker").KnockKnock(1000) if find_spec("gilknocker") else None
        if peer:
            peer.start()
        with gilscope.Watch() as watch:
            thread = threading.Thread(target=cycle, name="the cycle")
            thread.start()
            release(int(wait * 1e6))
            before = watch.snapshot()
            release(2_000_000)
            after = watch.snapshot()
            end.set()
            thread.join()
        beside = ""
        if peer:
            beside = f"gilknocker {peer.contention_metric:.3f}"
            peer.stop()
        since, until = (watch.began + snapshot.elapsed for snapshot in (before, after))
        free_for = sum(max(0.0, min(stop, until) - max(start, since)) for start, stop in frees)
        read = ((after.held or 0) - (before.held or 0)) / (until - since)
        print(
            f"  {busy:5} ms in {busy + free:5} ms: truth {1 - free_for / (until - since):.3f} gilscope {read:.3f} {beside}",
            flush=True,
        )


def scrapes() -> None:
    """The workloads of dask/distributed#8557, read at several intervals: each should read 1."""

    def hot() -> None:
        while not end.is_set():
            pass

    def blocks(seconds: float) -> Callable[[], None]:
        def hold() -> None:
            while not end.is_set():
                PyDLL(None).usleep(int(seconds * 1e6))

        return hold

    works = {f"C blocks of {seconds} s": blocks(seconds) for seconds in (1, 4, 15)}
    for name, work in {**works, "a hot Python loop": hot}.items():
        for interval in (0.5, 2.0, 10.0):
            end = threading.Event()
            with gilscope.Watch() as watch:
                thread = threading.Thread(target=work)
                thread.start()
                before, loads = watch.snapshot(), []
                until = time.monotonic() + max(4.0, 2.5 * interval, 20.0 if name == "C blocks of 15 s" else 0.0)
                while time.monotonic() < until:
                    CDLL(None).usleep(int(interval * 1e6))
                    after = watch.snapshot()
                    loads.append(((after.held or 0) - (before.held or 0)) / (after.elapsed - before.elapsed))
                    before = after
                end.set()
                thread.join()
            print(
                f"  {name:20} every {interval:4} s: {min(loads):.3f} to {max(loads):.3f} in {len(loads)} scrapes",
                flush=True,
            )


def holds() -> None:
    """Single holds, read right after each; and an idle second after each."""
    for length in (0.05, 0.1, 0.3, 1.0):
        errors, idles = [], []
        for _ in range(20 if length < 1 else 5):
            with gilscope.Watch() as watch:
                CDLL(None).usleep(20_000)
                before = watch.snapshot()
                start = time.perf_counter()
                PyDLL(None).usleep(int(length * 1e6))
                took = time.perf_counter() - start
                after = watch.snapshot()
                errors.append(((after.held or 0) - (before.held or 0)) / took - 1)
                CDLL(None).usleep(20_000)
                before = watch.snapshot()
                CDLL(None).usleep(1_000_000 if length == 0.3 else 100_000)
                after = watch.snapshot()
                idles.append(((after.held or 0) - (before.held or 0)) / (after.elapsed - before.elapsed))
        print(
            f"  a hold of {length} s: error {min(errors):+.3f} to {max(errors):+.3f}; idle after it reads up to {max(idles):.3f}"
        )


def delays() -> None:
    """How soon ``on_stall`` is called after a hog of 1 s has released the GIL, and whether it was noticed before that."""
    seconds: list[float] = []
    noticed = 0

    def on_stall(stall: Stall) -> None:
        nonlocal noticed
        if stall.cause == "starved by a hog" and stall.duration > 0.5:
            seconds.append(time.monotonic() - watch.began - stall.end)
            noticed += stall.noticed is not None and stall.noticed < stall.end and stall.noticed_holder is not None

    async def main() -> None:
        for _ in range(10):
            await asyncio.to_thread(PyDLL(None).usleep, 1_000_000)
            await asyncio.sleep(0.2)

    watch = gilscope.Watch(on_stall=on_stall)
    with watch:
        asyncio.run(main())
    print(
        f"  10 hogs of 1 s: {len(seconds)} reported, at most {max(seconds) * 1000:.0f} ms after the GIL was free again; "
        f"{noticed} noticed, with the holder, while they lasted"
    )


def sleepers() -> None:
    """Stalls that begin while the loop sleeps: which lengths are reported, and how wrong they are."""

    def spin(seconds: float) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    def hold(seconds: float) -> None:
        PyDLL(None).usleep(int(seconds * 1e6))

    kinds: dict[str, Callable[[float], None]] = {"sleeps": time.sleep, "holds the GIL": hold, "computes": spin}
    begun: dict[tuple[str, float], list[float]] = {(kind, ms): [] for kind in kinds for ms in (0.04, 0.06, 0.2)}

    async def main() -> None:
        await asyncio.sleep(SECONDS_UNTIL_STEADY)
        for _ in range(20):
            for (kind, length), moments in begun.items():
                await asyncio.sleep(0.35 + 0.02 * random.random())
                moments.append(time.monotonic() - watch.began)
                kinds[kind](length)
        await asyncio.sleep(0.1)

    reported: list[Stall] = []
    with gilscope.Watch(on_stall=reported.append) as watch:
        asyncio.run(main())
    for (kind, length), moments in begun.items():
        found = [stall for moment in moments for stall in reported if abs(stall.end - moment - length) < length / 2]
        errors = sorted(1000 * (stall.duration - length) for stall in found)
        error = (
            f"error {errors[0]:+.0f} to {errors[-1]:+.0f} ms, {sum(errors) / len(errors):+.1f} on average"
            if errors
            else ""
        )
        print(
            f"  {kind:14} for {1000 * length:3.0f} ms: {len(errors):2} of {len(moments)} reported; {error}", flush=True
        )


def utilization() -> None:
    """The share of time in which a loop was busy, in known duty cycles of 20 s each: its callback computes, or sleeps."""

    def spin(seconds: float) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    async def cycle(work: Callable[[float], None], share: float, period: float) -> float:
        busy, began = 0.0, time.perf_counter()
        while time.perf_counter() < began + 20:
            start = time.perf_counter()
            work(share * period)
            busy += time.perf_counter() - start
            await asyncio.sleep((1 - share) * period)
        return busy / (time.perf_counter() - began)

    for kind, run in loop_kinds().items():
        for work, period in [(spin, 0.1), (spin, 0.01), (time.sleep, 0.1)]:
            for share in (0.1, 0.5, 0.9):
                with gilscope.Watch() as watch:
                    truth = run(cycle(work, share, period))
                seen = watch.snapshot().loops[0]
                took = seen.busy + seen.asleep
                lacked = sum(it.seconds for it in watch.time_tree().stacks if it.doing == "no CPU") / took
                print(
                    f"  {kind:7} {work.__name__:5} for {1000 * share * period:4.1f} of {1000 * period:3.0f} ms: "
                    f"truth {truth:.3f} gilscope {seen.busy / took:.3f} (of this no CPU {lacked:.3f})",
                    flush=True,
                )


def loop_kinds() -> dict[str, Callable[[Coroutine[Any, Any, Any]], Any]]:
    kinds: dict[str, Callable[[Coroutine[Any, Any, Any]], Any]] = {"asyncio": asyncio.run}
    if find_spec("uvloop"):
        kinds["uvloop"] = importlib.import_module("uvloop").run
    return kinds


class Script:
    """Turns of a loop whose parts are known: two that compute, one that waits for a hog, and one that sleeps in its callback."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.truth: dict[str, float] = {}
        self._begin, self._over = threading.Event(), threading.Event()

    async def turns(self) -> float:
        thread = threading.Thread(target=self._hog, name="the hog")
        thread.start()
        began = time.perf_counter()
        while time.perf_counter() < began + self.seconds:
            self._timed(self.parse, 0.02)
            self._timed(self.render, 0.012)
            self._timed(self.starve, 0.0)
            self._timed(self.query, 0.015)
            await asyncio.sleep(0.02)
        took = time.perf_counter() - began
        self._over.set()
        self._begin.set()
        thread.join()
        return took

    def parse(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    def render(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    def starve(self, _: float) -> None:
        self._begin.set()
        CDLL(None).usleep(1)  # meanwhile the hog acquires the GIL

    def query(self, seconds: float) -> None:
        time.sleep(seconds)

    def _timed(self, part: Callable[[float], None], seconds: float) -> None:
        start = time.perf_counter()
        part(seconds)
        self.truth[part.__name__] = self.truth.get(part.__name__, 0.0) + time.perf_counter() - start

    def _hog(self) -> None:
        while self._begin.wait() and not self._over.is_set():
            self._begin.clear()
            PyDLL(None).usleep(20_000)


def time_tree() -> None:
    """Where the time of a loop went, in a script of known parts: each part's share of all time."""
    for kind, run in loop_kinds().items():
        script = Script(30)
        with gilscope.Watch() as watch:
            took = run(script.turns())
        tree = watch.time_tree()
        for part, seconds in script.truth.items():
            seen: dict[str, float] = {}
            for stack in tree.stacks:
                if part in {tree.frames[index].function.rpartition(".")[2] for index in stack.frames}:
                    seen[stack.doing] = seen.get(stack.doing, 0.0) + stack.seconds / took
            apart = ", ".join(f"{doing} {share:.3f}" for doing, share in seen.items())
            shares = f"truth {seconds / took:.3f} gilscope {sum(seen.values()):.3f} ({apart})"
            print(f"  {kind:7} {part:6}: {shares}", flush=True)
        unseen = sum(stack.seconds for stack in tree.stacks if not stack.frames) / took
        print(f"  {kind:7} of unknown stacks: {unseen:.3f}; overhead {watch.snapshot().cost / took:.3f}", flush=True)


def leftovers(times: int) -> None:
    """Start and stop many times: what is left, and how long a stop takes."""

    def left() -> tuple[int, int, int]:
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        files = len(list(Path("/proc/self/fd").iterdir()))
        return int(status["Threads"]), files, int(status["VmRSS"].split()[0])

    def once() -> float:
        watch = gilscope.Watch()
        watch.start()
        start = time.perf_counter()
        watch.stop()
        return time.perf_counter() - start

    for _ in range(200):
        once()
    before = left()
    stops = sorted(once() for _ in range(times))
    after = left()
    print(
        f"  {times} starts and stops: threads {before[0]} -> {after[0]}, descriptors {before[1]} -> {after[1]}, "
        f"resident {before[2]} -> {after[2]} kB; stop p50 {stops[times // 2] * 1000:.1f} ms, "
        f"p99 {stops[times * 99 // 100] * 1000:.1f} ms, max {stops[-1] * 1000:.1f} ms"
    )


def memory(minutes: float) -> None:
    """The memory of a service that stalls ten times a second, each time at a new line in a new thread."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4

    async def serve(number: int) -> None:
        source = "\n" * (number % 50_000) + "def work():\n    hold(20_000)\n"
        names: dict[str, Any] = {"hold": PyDLL(None).usleep}
        exec(compile(source, f"generated_{number}.py", "exec"), names)  # noqa: S102 - ours
        thread = threading.Thread(target=names["work"], name=f"hog {number}")
        thread.start()
        while thread.is_alive():  # noqa: ASYNC110 - a loop that comes back again and again
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.03)

    async def main() -> None:
        number, end, next_print = 0, time.monotonic() + 60 * minutes, 0.0
        while time.monotonic() < end:
            number += 1
            await serve(number)
            if time.monotonic() > next_print:
                next_print = time.monotonic() + 60
                snapshot = watch.snapshot()
                reported, lost = sum(snapshot.stalls.values()), snapshot.lost
                print(
                    f"  after {snapshot.elapsed:4.0f} s: {reported} stalls, {lost} lost, resident {resident()} kB",
                    flush=True,
                )

    with gilscope.Watch(stall=0.01) as watch:
        asyncio.run(main())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10_000, help="starts and stops")
    parser.add_argument("--minutes", type=float, default=10, help="duration of the memory measurement")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    for name, run in {
        "delays": delays,
        "shares": shares,
        "scrapes": scrapes,
        "holds": holds,
        "sleepers": sleepers,
        "utilization": utilization,
        "time_tree": time_tree,
    }.items():
        if options.only in name:
            run()
    if options.only in "leftovers":
        leftovers(options.times)
    if options.only in "memory":
        memory(options.minutes)


if __name__ == "__main__":
    main()
