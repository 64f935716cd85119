"""Services whose figures are known, to be looked at from outside: they know nothing of gilscope.

python benches/running_service.py cycle BUSY_MS FREE_MS    a thread with a duty cycle; prints when the GIL was free, in the end
python benches/running_service.py requests FILE [--threads 10]    counts its requests in the first 8 bytes of FILE
"""

from __future__ import annotations

import argparse
import asyncio
import json
import mmap
import sys
import threading
import time
from ctypes import CDLL, PyDLL
from pathlib import Path

MILLISECOND = 1000
"""In microseconds."""


def cycle(busy_ms: float, free_ms: float) -> None:
    """Hold the GIL and release it by turns, in a thread of its own, until a line comes."""
    hold, release = PyDLL(None).usleep, CDLL(None).usleep
    frees: list[tuple[float, float]] = []
    end = threading.Event()

    def run() -> None:
        while not end.is_set():
            if busy_ms:
                hold(int(busy_ms * MILLISECOND))
            if free_ms:
                start = time.monotonic()
                release(int(free_ms * MILLISECOND))
                frees.append((start, time.monotonic()))

    thread = threading.Thread(target=run, name="the cycle")
    thread.start()
    print("ready", flush=True)
    sys.stdin.readline()
    end.set()
    thread.join()
    print(json.dumps(frees), flush=True)


def requests(counter: Path, threads: int) -> None:
    """Serve requests of 0.1 ms in a loop, beside threads that wait most of the time, until a line comes."""
    end = threading.Event()
    counter.write_bytes(bytes(8))

    def beside() -> None:
        while not end.wait(0.02):
            sum(range(2000))

    with counter.open("r+b") as file, mmap.mmap(file.fileno(), 8) as memory:
        counted = memoryview(memory).cast("Q")

        def end_at_a_line() -> None:
            sys.stdin.readline()
            end.set()

        async def request() -> None:
            sum(range(8000))
            await asyncio.sleep(0)

        async def serve() -> None:
            print("ready", flush=True)
            while not end.is_set():
                await request()
                counted[0] += 1

        others = [threading.Thread(target=beside, name=f"beside {number}") for number in range(max(0, threads - 2))]
        others.append(threading.Thread(target=end_at_a_line, name="until a line"))
        for thread in others:
            thread.start()
        asyncio.run(serve())
        for thread in others:
            thread.join()
        counted.release()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    services = parser.add_subparsers(dest="service", required=True)
    one = services.add_parser("cycle")
    one.add_argument("busy", type=float)
    one.add_argument("free", type=float)
    other = services.add_parser("requests")
    other.add_argument("counter", type=Path)
    other.add_argument("--threads", type=int, default=10)
    options = parser.parse_args()
    if options.service == "cycle":
        cycle(options.busy, options.free)
    else:
        requests(options.counter, options.threads)


if __name__ == "__main__":
    main()
