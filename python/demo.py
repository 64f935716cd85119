"""The article's experiment: a ticker prints the time each second, and beside it a worker counts down for ever.

`python python/demo.py thread --kernel released --seconds 6` runs one worker. Without arguments the three that tell the
story run one after another: one thread pool, and a countdown that gives the GIL up each time it is asked (python), that
never gives it up (held), and that does not have it (released).

A task counts 50 000 000 down, as in the article. Rust does that in a hundredth of a second, which no ticker notices, so
the native kernels count further: as far as takes them as long as Python takes on this machine for its 50 000 000.
"""

import argparse
import asyncio
import math
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from multiprocessing import get_context, resource_tracker
from time import monotonic, thread_time
from timeit import repeat

if sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
    del sys.path[0]  # gilscope's source, which lies beside this script: the installed one is wanted

from gilscope import countdown_cooperative, countdown_held, countdown_python, countdown_released, countdown_tokio

TICK = 1.0
COUNT = 50_000_000
KERNELS = {"python": countdown_python, "held": countdown_held, "released": countdown_released}


async def ticker(ticks, deadline):
    while for_ever(deadline):
        print(datetime.now(), flush=True)
        ticks.append(monotonic())
        await asyncio.sleep(TICK)


async def blocking_worker(kernel, count, deadline):
    while for_ever(deadline):
        kernel(count)


async def cooperative_worker(_kernel, count, deadline):
    while for_ever(deadline):
        await countdown_cooperative(count)


async def async_thread_worker(kernel, count, deadline):
    with ThreadPoolExecutor(2) as pool:
        while for_ever(deadline):
            await asyncio.get_running_loop().run_in_executor(pool, kernel, count)


async def async_process_worker(kernel, count, deadline):
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        while for_ever(deadline):
            with leaving_ctrl_c_to_us():  # the pool starts its processes as it is given tasks
                task = asyncio.get_running_loop().run_in_executor(pool, kernel, count)
            await task


async def tokio_worker(_kernel, count, deadline):
    while for_ever(deadline):
        await countdown_tokio(count)


@contextmanager
def leaving_ctrl_c_to_us():
    """Have the processes that are started meanwhile not hear of Ctrl-C: what is blocked here stays blocked in them."""
    resource_tracker.ensure_running()  # multiprocessing's own process, whose start would unblock it
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def for_ever(deadline):
    """Stand for the article's `while True`, with an end: the deadline, or Ctrl-C, which cancels the task."""
    return monotonic() < deadline and not asyncio.current_task().cancelling()


WORKERS = {  # name: the worker, the kernels that it can run, and the article's mean drift a tick
    "blocking": (blocking_worker, ["python", "held", "released"], None),
    "cooperative": (cooperative_worker, ["python"], None),
    "thread": (async_thread_worker, ["python", "held", "released"], "13.1 ms"),
    "process": (async_process_worker, ["python", "held", "released"], "6.8 ms"),
    "tokio": (tokio_worker, ["released"], None),
}


def count_for(kernel):
    """Return how far to count: as far as the article, or as far as takes Rust as long as that takes Python."""

    def seconds(count_down):
        return min(repeat(lambda: count_down(1_000_000), timer=thread_time, number=1))

    return COUNT if kernel == "python" else round(COUNT * seconds(countdown_python) / seconds(countdown_released))


async def side_by_side(worker, kernel, seconds):
    ticks, count = [], count_for(kernel)
    deadline = monotonic() + seconds
    ticking = asyncio.create_task(ticker(ticks, deadline))
    await asyncio.sleep(0)  # the ticker goes first
    await worker(KERNELS[kernel], count, deadline)
    ticking.cancel()
    return ticks


def run(name, kernel, seconds):
    worker, _, article = WORKERS[name]
    ticks = asyncio.run(side_by_side(worker, kernel, seconds))
    line = f"{name}/{kernel}: {len(ticks)} of {math.ceil(seconds / TICK)} ticks came"
    if len(ticks) > 1:
        line += f", mean drift {((ticks[-1] - ticks[0]) / (len(ticks) - 1) - TICK) * 1000:.1f} ms a tick"
    print(line + (f" (the article, in Python: {article})" if article else ""), flush=True)


def main():
    parser = argparse.ArgumentParser(description="The article's ticker beside one of its workers.")
    parser.add_argument("worker", nargs="?", choices=WORKERS, help="default: thread, with each kernel in turn")
    parser.add_argument("--kernel", choices=KERNELS, help="default: the first that the worker can run")
    parser.add_argument("--seconds", type=float, default=6.0, help="then the last task ends (default: %(default)s)")
    asked = parser.parse_args()
    kernels = WORKERS[asked.worker or "thread"][1]
    if asked.kernel and not asked.worker:
        parser.error("--kernel needs a worker")
    if asked.kernel and asked.kernel not in kernels:
        parser.error(f"the {asked.worker} worker can run {', '.join(kernels)}, not {asked.kernel}")
    if not 0 < asked.seconds < math.inf:
        parser.error("--seconds must be a finite number of seconds, more than 0")
    try:
        if asked.worker:
            run(asked.worker, asked.kernel or kernels[0], asked.seconds)
        else:
            for kernel in kernels:
                print(f"\nthread/{kernel}")
                run("thread", kernel, asked.seconds)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
