"""One case, run once: what runs inside the process that :mod:`gilscope.supervise` watches.

Its top imports little: a spawned pool's workers import the main module again.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gilscope.lanes import Lanes
    from gilscope.results import Lag, Measure, Plan
    from gilscope.strategies import Call
    from gilscope.ticker import Ticker


async def idle(plan: Plan) -> Measure:
    """Measure a loop that has nothing to do: the floor of every lag."""
    return await _beside_a_ticker(plan, [], 0, start_up=0.0)


async def trial(strategy: str, function: str, count: int, plan: Plan) -> Measure:
    """Run tasks of ``count`` steps of ``function`` for ``plan.seconds``, ``plan.concurrency`` at once, beside a ticker."""
    import gilscope
    from gilscope.lanes import Stamped
    from gilscope.strategies import STRATEGIES, awaited, bridge

    began = time.perf_counter()
    work = getattr(gilscope, function)
    where = STRATEGIES[strategy]
    async with where(work if where in (awaited, bridge) else Stamped(work), plan.concurrency) as call:
        return await _beside_a_ticker(plan, [call] * plan.concurrency, count, start_up=time.perf_counter() - began)


async def _beside_a_ticker(plan: Plan, calls: list[Call], count: int, *, start_up: float) -> Measure:
    from gilscope import crowd
    from gilscope.lanes import Lanes
    from gilscope.results import Bins, Measure
    from gilscope.ticker import Ticker

    clocks = _clocks()
    ticker = Ticker(plan.tick)
    ticker.start()
    began, cpu_began, used = time.perf_counter(), _read(clocks), crowd.used()
    lanes = Lanes(began)
    if calls:
        end = began + plan.seconds
        done = await asyncio.gather(*(_work(call, count, end, lanes, slot) for slot, call in enumerate(calls)))
    else:
        done = []
        await asyncio.sleep(plan.seconds)
    elapsed, cpu = time.perf_counter() - began, _read(clocks)
    cpu = None if cpu is None or cpu_began is None else cpu - cpu_began
    others, spare = crowd.shares(used, crowd.used(), cpu)
    await ticker.stop()
    return Measure(
        start_up=start_up,
        elapsed=elapsed,
        tasks=sum(tasks for tasks, _ in done),
        rate=sum(tasks * count / lasted for tasks, lasted in done),
        cpu=cpu,
        lag=_lag(ticker),
        ticks=Bins(
            width=ticker.timeline.width,
            due=ticker.timeline.due,
            came=ticker.timeline.came,
            worst=ticker.timeline.worst,
        ),
        lanes=lanes.record(),
        others=others,
        spare=spare,
    )


async def _work(call: Call, count: int, deadline: float, lanes: Lanes, slot: int) -> tuple[int, float]:
    """Do one task after another until ``deadline``; return how many, and when the last was done after the start.

    A task that runs at the deadline is finished and counted, with its time: nothing is cut on either side.
    """
    from gilscope.lanes import Stamp

    tasks = 0
    while (asked := time.perf_counter()) < deadline:
        done = await call(count)
        tasks += 1
        stamp = done if isinstance(done, Stamp) else Stamp(done, asked, time.perf_counter(), os.getpid(), None)
        lanes.add(stamp, slot)
    return tasks, time.perf_counter() - lanes.began


def _lag(ticker: Ticker) -> Lag:
    from gilscope.results import Lag

    quantile = ticker.lags.quantile
    return Lag(
        due=ticker.due, came=ticker.came, p50=quantile(0.5), p90=quantile(0.9), p99=quantile(0.99), max=quantile(1.0)
    )


def _clocks() -> list[int]:
    """Return the CPU clocks of this process and of its pool's, which are its only children."""
    import multiprocessing

    cpu_clock_of_process = 2  # CPUCLOCK_SCHED of Linux, include/linux/posix-timers_types.h
    pids = [child.pid for child in multiprocessing.active_children() if child.pid is not None]
    return [~pid << 3 | cpu_clock_of_process for pid in (os.getpid(), *pids)]


def _read(clocks: list[int]) -> float | None:
    """Return the processor time of all of ``clocks``; without Linux's clocks that of this process if it is alone."""
    if sys.platform == "linux":
        return sum(time.clock_gettime(clock) for clock in clocks)
    return time.process_time() if len(clocks) == 1 else None


def main(asked: str, answered: str) -> None:
    import msgspec

    from gilscope.results import Plan
    from gilscope.supervise import die_with_parent

    die_with_parent()
    request: dict[str, Any] = msgspec.json.decode(Path(asked).read_bytes())
    plan = msgspec.convert(request.pop("plan"), Plan)
    measure = asyncio.run(trial(plan=plan, **request) if request else idle(plan))
    Path(answered).write_bytes(msgspec.json.encode(measure))


if __name__ == "__main__":
    main(*sys.argv[1:])
