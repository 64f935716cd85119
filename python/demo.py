"""The article that this project reproduces shows that a thread pool is the wrong place for CPU-bound work.

On an asyncio loop a ticker prints the time once a second, and beside it one worker runs a task that counts 50 000 000
down to 0. To show why the article is right, the task here has three kernels: python (the article's: releases the GIL
when another thread asks for it), held (Rust that keeps the GIL) and released (Rust that releases the GIL).

`python python/demo.py thread --kernel released --seconds 6` runs one worker. Without arguments the script runs the
thread worker with each kernel in turn: the thread pool is the wrong place because of the GIL.
"""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from math import ceil
from time import monotonic

if __name__ == "__main__":
    sys.path.append(sys.path.pop(0))  # import the installed gilscope, not its source beside this script

from gilscope import countdown_cooperative, countdown_held, countdown_python, countdown_released, countdown_tokio
from gilscope.demo import script

TICK = 1.0
COUNT = 50_000_000


async def ticker(ticks, running):
    while running():  # the article: while True
        print(datetime.now(), flush=True)
        ticks.append(monotonic())
        await asyncio.sleep(TICK)


async def blocking_worker(kernel, count, running):
    while running():
        kernel(count)


async def async_process_worker(kernel, count, running):
    with script.process_pool(2) as pool:  # the article: ProcessPoolExecutor(2)
        while running():
            await asyncio.get_running_loop().run_in_executor(pool, kernel, count)


async def async_thread_worker(kernel, count, running):
    with ThreadPoolExecutor(2) as pool:
        while running():
            await asyncio.get_running_loop().run_in_executor(pool, kernel, count)


async def awaiting_worker(kernel, count, running):  # the article's closing hint: the task itself lets the loop run
    while running():
        await kernel(count)


BLOCKING_KERNELS = {"python": countdown_python, "held": countdown_held, "released": countdown_released}
WORKERS = {  # name: the worker, its kernels, and the mean drift that the article saw
    "blocking": (blocking_worker, BLOCKING_KERNELS, None),
    "process": (async_process_worker, BLOCKING_KERNELS, "6.8 ms"),
    "thread": (async_thread_worker, BLOCKING_KERNELS, "13.1 ms"),
    "cooperative": (awaiting_worker, {"python": countdown_cooperative}, None),  # sleep(0) every 1000 steps
    "tokio": (awaiting_worker, {"released": countdown_tokio}, None),
}


async def side_by_side(worker, kernel, count, seconds):
    ticks, running = [], script.running_for(seconds)
    ticking = asyncio.create_task(ticker(ticks, running))
    await asyncio.sleep(0)  # the first tick comes before the worker
    await worker(kernel, count, running)
    ticking.cancel()
    return ticks


def run(name, kernel, seconds):
    worker, kernels, article = WORKERS[name]
    count = COUNT if kernel == "python" else script.native_count(COUNT)  # Rust would need only 10 ms for COUNT
    ticks = asyncio.run(side_by_side(worker, kernels[kernel], count, seconds))
    line = f"{name}/{kernel}: {len(ticks)} of {ceil(seconds / TICK)} ticks came"
    if len(ticks) > 1:
        line += f", mean drift {((ticks[-1] - ticks[0]) / (len(ticks) - 1) - TICK) * 1000:.1f} ms a tick"
    print(line + (f" (the article, in Python: {article})" if article else ""), flush=True)


if __name__ == "__main__":
    script.main(WORKERS, run)
