"""Checks the stack reader: whether it is right, also beside threads that run, what it costs, and that stalls are reported soon.

python benches/reader.py [--only stacks|stress|cost|holds] [--stacks 10000] [--reads 10000000] [--holds 250] [--seed 1]

Exits with 1 if a stack was wrong, or if more than one hold in a thousand (and more than one) was not reported rightly and in
time, while it lasted.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from gilscope._core import _StackReader
from reader_holds import holds as check_holds

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.support.compared_stacks import compare
from tests.support.kinds import KINDS
from tests.support.running.stress import read, running

DEPTHS = (10, 50, 200, 1_000, 20_000)
READS_AT_ONCE = 500_000
Call = Callable[[], object]


def stacks(arguments: argparse.Namespace) -> bool:
    """Stacks of all kinds of call, compared with what ``sys._current_frames`` says."""
    compared = compare(_StackReader(), arguments.seed, arguments.stacks)
    print(
        f"stacks: {compared.stacks.total():,} of {len(KINDS)} kinds of call, {compared.frames:,} frames,",
        f"at most {compared.deepest:,} deep; proved {compared.stacks['proved']:,}, read twice {compared.stacks['twice']:,};",
        f"{len(compared.differences)} differences",
    )
    for difference in compared.differences[:5]:
        print(f"  {difference}")
    return not compared.differences


def stress(arguments: argparse.Namespace) -> bool:
    """Reads beside threads that start, end, recurse, raise, import and fork, held against the call graph."""
    reader, counts, wrong = _StackReader(), Counter[str](), Counter[str]()
    start = time.monotonic()
    with running():
        while (left := arguments.reads - counts.total()) > 0:
            these, wrong_ones = read(reader, min(left, READS_AT_ONCE))
            counts += these
            wrong += wrong_ones
    took_us = (time.monotonic() - start) * 1e6 / counts.total()
    doubts = ", ".join(f"{why} {number:,}" for why, number in sorted(counts.items()) if why not in {"proved", "twice"})
    print(
        f"stress: {counts.total():,} reads, {took_us:.0f} us each; proved {counts['proved']:,},",
        f"read twice {counts['twice']:,}; no stack: {doubts}; {wrong.total()} impossible stacks",
    )
    for what, number in wrong.most_common(5):
        print(f"  {number} times {what}")
    return not wrong


def cost(_: argparse.Namespace) -> bool:
    """Microseconds of a read, by depth: the median, of a thread that waits and of the holder of the GIL."""
    reader = _StackReader()
    for depth in DEPTHS:
        reads = 400 if depth <= 1_000 else 20
        figures = ""
        for name, cold in (("warm", False), ("cold", True)):
            waiting = waiting_us(reader, depth, reads, cold=cold)
            holding = holding_us(reader, depth, reads, cold=cold)
            figures += f"; {name}: waiting {waiting:.0f}, holder {holding:.0f}"
        print(f"cost: {depth:,} frames{figures} us")
    return True


def holds(arguments: argparse.Namespace) -> bool:
    """What the log of a watch says while C calls of ten kinds hold the GIL."""
    return check_holds(arguments.holds, arguments.seed)


def waiting_us(reader: _StackReader, depth: int, reads: int, *, cold: bool) -> float:
    """Return the median cost of reading a thread that waits."""
    ready, done = threading.Event(), threading.Event()

    def wait() -> None:
        ready.set()
        done.wait()

    thread = threading.Thread(target=nested(wait, depth - 6))  # waiting and threading have frames too
    thread.start()
    ready.wait()
    times, _ = reader.time(thread.native_id or 0, reads, cold)
    done.set()
    thread.join()
    return statistics.median(times) / 1000


def holding_us(reader: _StackReader, depth: int, reads: int, *, cold: bool) -> float:
    """Return the median cost of reading the thread that holds the GIL."""
    found: list[int] = []

    def hold() -> None:
        found.extend(reader.time(threading.get_native_id(), reads, cold)[0])

    thread = threading.Thread(target=nested(hold, depth - 4))
    thread.start()
    thread.join()
    return statistics.median(found) / 1000


def nested(innermost: Call, depth: int) -> Call:
    """Return a function that calls ``innermost`` through functions of 60 kinds in 17 files, so many frames deep."""

    def call(left: int) -> object:
        return functions[left % len(functions)](left - 1, call) if left > 0 else innermost()

    functions: list[Callable[[int, Callable[[int], object]], object]] = []
    for number in range(60):
        names: dict[str, Callable[[int, Callable[[int], object]], object]] = {}
        source = f"def handler_{number}(left, call):\n    a = left\n    b = [a] * 3\n    return call(left - 1)\n"
        exec(compile(source, f"/srv/app/module_{number % 17}/handlers.py", "exec"), names)  # noqa: S102
        functions.append(names[f"handler_{number}"])
    return lambda: call(depth - 1)


PARTS: dict[str, Callable[[argparse.Namespace], bool]] = {
    "stacks": stacks,
    "stress": stress,
    "cost": cost,
    "holds": holds,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, help="one part instead of all")
    parser.add_argument("--stacks", type=int, default=10_000, help="how many stacks to compare")
    parser.add_argument("--reads", type=int, default=10_000_000, help="how many reads beside running threads")
    parser.add_argument("--holds", type=int, default=250, help="how many holds to wait for the report of")
    parser.add_argument("--seed", type=int, default=1, help="for the kinds of call, and for the holds")
    arguments = parser.parse_args()
    sys.setrecursionlimit(100_000)
    threading.stack_size(512 << 20)
    print(f"Python {sys.version.split()[0]}")
    parts = [PARTS[arguments.only]] if arguments.only else PARTS.values()
    results = [part(arguments) for part in parts]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
