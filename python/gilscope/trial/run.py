"""One case, run once: what runs inside the process that :mod:`gilscope.isolated.supervise` watches.

Its top imports little: a spawned pool's workers import the main module again.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope._core import Histogram
    from gilscope.records.result import Lag, Measure, Plan, Times
    from gilscope.trial.spans import Lanes
    from gilscope.trial.strategies import Run, Strategy
    from gilscope.trial.ticker import Ticker


async def idle(plan: Plan) -> Measure:
    """Measure a loop that has nothing to do: the floor of every lag."""
    return await _beside_a_ticker(plan, None, start_up=0.0)


async def trial(
    strategy: Strategy,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    plan: Plan,
    *,
    steps: int = 1,
    considerate: bool = False,
) -> Measure:
    """Call ``function(*args)`` over and over for ``plan.seconds``, ``plan.concurrency`` at once, beside a ticker.

    A call does ``steps`` steps of work. Where ``considerate``, the loop gets a turn after every call, as in a service
    that does one call a request; otherwise only a call that waits gives it one, as in the article's worker.
    """
    from gilscope.trial.spans import Stamped
    from gilscope.trial.strategies import IN_OUR_WORKERS, interpreter

    async with AsyncExitStack() as stack:
        work = Stamped(function) if strategy in IN_OUR_WORKERS else function
        began = time.perf_counter()
        try:
            run = await stack.enter_async_context(strategy(work, plan.concurrency))
        except Exception:
            # An interpreter takes a function of a script that it may not import as it is, and not inside of anything.
            if strategy is not interpreter:
                raise
            work, began = function, time.perf_counter()
            run = await stack.enter_async_context(strategy(work, plan.concurrency))
        start_up = time.perf_counter() - began
        calls = _Calls(run, work, args, considerate=considerate)
        return await _beside_a_ticker(plan, calls, start_up=start_up, steps=steps)


class _Calls:
    """The calls of a trial, and how long each took."""

    def __init__(self, run: Run, function: Callable[..., Any], args: tuple[Any, ...], *, considerate: bool) -> None:
        from gilscope._core import Histogram

        self._call = (function, *args)
        self._run = run
        self._considerate = considerate
        self.times = Histogram()

    async def until(self, deadline: float, lanes: Lanes, slot: int) -> tuple[int, float]:
        """Make one call after another until ``deadline``; return how many, and when the last was done after the start.

        A call that runs at the deadline is finished and counted, with its time: nothing is cut on either side.
        """
        from gilscope.trial.spans import Stamp

        calls = 0
        while (asked := time.perf_counter()) < deadline:
            done = await self._run(*self._call)
            answered = time.perf_counter()
            calls += 1
            self.times.record(answered - asked)
            lanes.add(done if isinstance(done, Stamp) else Stamp(done, asked, answered, os.getpid(), None), slot)
            if self._considerate:
                await asyncio.sleep(0)
        return calls, time.perf_counter() - lanes.began


async def _beside_a_ticker(plan: Plan, calls: _Calls | None, *, start_up: float, steps: int = 1) -> Measure:
    from gilscope.records.result import Bins, Measure
    from gilscope.trial import machine_load as crowd
    from gilscope.trial.cpu_time import Family
    from gilscope.trial.spans import Lanes
    from gilscope.trial.ticker import Ticker

    family = Family()
    ticker = Ticker(plan.tick)
    ticker.start()
    began, before, used = time.perf_counter(), family.read(), crowd.used()
    lanes, end = Lanes(began), began + plan.seconds
    done: list[tuple[int, float]] = []
    if calls is None:
        await asyncio.sleep(plan.seconds)
    else:
        done = await asyncio.gather(*(calls.until(end, lanes, slot) for slot in range(plan.concurrency)))
    elapsed, spent = time.perf_counter() - began, family.read() - before
    others, spare = crowd.shares(used, crowd.used(), spent.used)
    await ticker.stop()
    return Measure(
        start_up=start_up,
        elapsed=elapsed,
        tasks=sum(tasks for tasks, _ in done),
        rate=sum(tasks * steps / lasted for tasks, lasted in done),
        cpu=spent.used,
        queued=spent.queued,
        call=None if calls is None else _times(calls.times),
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


def _lag(ticker: Ticker) -> Lag:
    from gilscope.records.result import Lag

    quantile = ticker.lags.quantile
    return Lag(
        due=ticker.due, came=ticker.came, p50=quantile(0.5), p90=quantile(0.9), p99=quantile(0.99), max=quantile(1.0)
    )


def _times(times: Histogram) -> Times | None:
    from gilscope.records.result import Times

    p50, p90, longest = (times.quantile(q) for q in (0.5, 0.9, 1.0))
    return None if p50 is None or p90 is None or longest is None else Times(p50=p50, p90=p90, max=longest)


def main(asked: str, answered: str) -> None:
    from gilscope.trial.request import Request, answer

    answer(asked, answered, Request.trial)


if __name__ == "__main__":
    main(*sys.argv[1:])
