"""Checks what `gilscope.Watch(log=...)` writes while a C call holds the GIL: the right line and thread, and how soon.

    python benches/reader_holds.py [--holds 250] [--seed 1] [--call NAME]

Holds of 0.2 to 2 s in C calls of ten kinds, in a pool's thread, in a thread of their own, and on the loop, which has
something to do every 2 ms. The line has to be in the file before the hold ends, and within 20 ms of the moment when the stall
passed the threshold. This process reads the file and takes the time; another one is watched. A hold that began while the loop
was late already, because the machine stood still, is not judged, but counted. Exit status 1 if more than one in a thousand
(and more than one) failed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, NamedTuple

import gilscope
from gilscope._core import run_queue_delay
from long_calls import KINDS, Calibrated, calibrate
from stall_log import Line, Tail, line_of

if TYPE_CHECKING:
    from collections.abc import Iterator

STALL = 0.05
HEARTBEAT = 0.01
"""The watch's, for this threshold: a stall begins up to this much later than what causes it."""
MAX_SECONDS_AFTER_THRESHOLD = 0.02
SHORTEST, LONGEST = 0.22, 1.8
"""What is aimed at: calls take up to some tens of percent less or more."""
TICK = 0.002
MAX_SECONDS_SINCE_TURN = 0.015
"""If the loop's last turn is longer ago, it was late before the hold."""
SECONDS_BETWEEN = 0.15
WHERE = ["a pool's thread", "a thread of its own", "the loop"]


class Held(NamedTuple):
    """One hold, as the program itself saw it."""

    kind: str
    where: str
    line: int
    native_id: int
    begin: float
    end: float
    last_turn: float
    """When the loop last had a turn before the hold."""
    queued: float
    """How long the watch's threads were runnable meanwhile, and did not run: the longest of them."""


class Ticker:
    """Gives the loop a turn every 2 ms, and notes when it had the last one."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self.last = time.monotonic()


def queued() -> list[float]:
    """Return for how long each of the watch's threads has been runnable without running."""
    threads = [
        path.parent for path in Path("/proc/self/task").glob("*/comm") if path.read_text().startswith("gilscope")
    ]
    return [run_queue_delay(int(path.name)) or 0.0 for path in sorted(threads)]


async def hold(calibrated: Calibrated, seconds: float, where: str, pool: ThreadPoolExecutor, ticker: Ticker) -> Held:
    argument = calibrated.argument(seconds)
    await asyncio.sleep(SECONDS_BETWEEN)
    kind = calibrated.kind
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[int, float, float, float]] = loop.create_future()

    def work() -> None:
        last_turn = ticker.last
        begin, end = kind.run(argument)
        loop.call_soon_threadsafe(done.set_result, (threading.get_native_id(), begin, end, last_turn))

    before = queued()
    if where == "the loop":
        work()
    elif where == "a pool's thread":
        await loop.run_in_executor(pool, work)
    else:
        threading.Thread(target=work, name=f"the {kind.name}").start()
    native_id, begin, end, last_turn = await done
    delay = max((after - earlier for earlier, after in zip(before, queued(), strict=False)), default=0.0)
    return Held(kind.name, where, kind.line, native_id, begin, end, last_turn, delay)


def program(path: str, count: int, seed: int, call: str) -> None:
    """Be the watched program: hold the GIL ``count`` times, and print a line of JSON for each."""
    chance = random.Random(seed)
    calls = [calibrate(kind) for kind in KINDS if call in kind.name]
    gc.freeze()
    gc.disable()
    pool = ThreadPoolExecutor(1)

    async def main() -> None:
        ticker = Ticker()
        ticking = asyncio.ensure_future(ticker.run())
        await asyncio.sleep(0.2)
        for number in range(count):
            seconds = SHORTEST * (LONGEST / SHORTEST) ** chance.random()
            held = await hold(
                calls[number % len(calls)], seconds, WHERE[number // len(calls) % len(WHERE)], pool, ticker
            )
            print(json.dumps(held), flush=True)
        await asyncio.sleep(SECONDS_BETWEEN)
        ticking.cancel()

    with gilscope.Watch(stall=STALL, log=path) as watch:
        print(watch.began, flush=True)
        asyncio.run(main())


class Verdict(NamedTuple):
    held: Held
    fault: str | None
    cause: str
    """What the first line says."""
    after_threshold: float | None
    """How long after the stall passed the threshold the line was there."""


def judge(held: Held, lines: list[Line]) -> Verdict:
    """Compare a hold with the lines that came from its begin on."""
    begins = [line for line in lines if line.begins]
    if not begins:
        return Verdict(held, "no line", "none", None)
    first = begins[0]
    passed = min(first.stall_began, held.begin + HEARTBEAT) + STALL
    after = first.at - passed
    faults = []
    if first.at >= held.end:
        faults.append(f"the line came {1000 * (first.at - held.end):.1f} ms after the hold")
    if after > MAX_SECONDS_AFTER_THRESHOLD:
        faults.append(
            f"late: noticed {1000 * (first.noticed - passed):.1f} ms after the threshold, written "
            f"{1000 * (first.at - first.noticed):.1f} ms later, threads of the watch queued {1000 * held.queued:.1f} ms"
        )
    place = first.place
    if place is None:
        faults.append("no line of code")
    elif place.native_id != held.native_id:
        faults.append(f"wrong thread: {place.native_id}, not {held.native_id}")
    elif (Path(place.file).name, place.line, place.function) != ("long_calls.py", held.line, held.kind):
        faults.append(f"wrong line: {place.file}:{place.line} in {place.function}, not line {held.line}")
    if not any(line.id == first.id for line in lines if not line.begins):
        faults.append("no second line")
    return Verdict(held, "; ".join(faults) or None, first.cause, after)


def verdicts(all_held: list[Held], lines: list[Line]) -> Iterator[Verdict]:
    """Judge each hold by what was written from its begin to the next one's."""
    for number, held in enumerate(all_held):
        until = all_held[number + 1].begin if number + 1 < len(all_held) else float("inf")
        yield judge(held, [line for line in lines if held.begin <= line.at < until])


def run(count: int, seed: int, call: str) -> tuple[list[Held], list[Line], str]:
    """Return the holds, what the watch wrote, and how the program failed, if it did."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stalls.jsonl"
        with Tail(path) as tail:
            command = [sys.executable, __file__, "--program", str(path), "--holds", str(count), "--seed", str(seed)]
            command += ["--call", call]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    began, *held = [json.loads(line) for line in done.stdout.splitlines()] or [0.0]
    lines = [line for arrival in tail.arrivals if (line := line_of(arrival, began)) is not None]
    failure = f"; the program ended with status {done.returncode}" if done.returncode else ""
    return [Held(*fields) for fields in held], lines, failure


def holds(count: int, seed: int = 1, call: str = "") -> bool:
    """Print how many of ``count`` holds were reported rightly and in time. Return whether that is enough."""
    all_held, lines, failure = run(count, seed, call)
    judged = [it for it in verdicts(all_held, lines) if it.held.begin - it.held.last_turn <= MAX_SECONDS_SINCE_TURN]
    print(f"{sys.version.split()[0]}: {'call':12}{'holds':>6}{'right':>7}   ms after the threshold: p50, p99, max")
    for name in [kind.name for kind in KINDS] + WHERE + ["all"]:
        some = [it for it in judged if name in (it.held.kind, it.held.where, "all")]
        if not some:
            continue
        delays = [1000 * it.after_threshold for it in some if it.after_threshold is not None]
        figures = ""
        if len(delays) > 1:
            percentiles = quantiles(delays, n=100, method="inclusive")
            figures = f"{percentiles[49]:6.1f} {percentiles[98]:6.1f} {max(delays):6.1f}"
        print(f"    {name:22}{len(some):>6}{sum(it.fault is None for it in some):>7}   {figures}")
    wrong = [it for it in judged if it.fault is not None]
    causes = Counter((it.held.where == "the loop", it.cause) for it in judged)
    for (on_loop, cause), number in sorted(causes.items()):
        print(f"    {'on the loop' if on_loop else 'in a thread':22}{number:>6}  {cause}")
    for it in wrong:
        print(f"    {it.held.kind} on {it.held.where} for {it.held.end - it.held.begin:.3f} s: {it.fault}")
    print(f"    {len(all_held) - len(judged)} of {len(all_held)} not judged: the loop was late before {failure}")
    return not failure and len(all_held) == count and len(wrong) <= max(1, len(judged) // 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--holds", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--call", default="", help="only calls with this in their name")
    parser.add_argument("--program", metavar="LOG", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.program:
        program(options.program, options.holds, options.seed, options.call)
    else:
        sys.exit(0 if holds(options.holds, options.seed, options.call) else 1)


if __name__ == "__main__":
    main()
