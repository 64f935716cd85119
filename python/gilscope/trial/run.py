"""One trial, run once beside a ticker: what runs inside a supervised process."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import msgspec

from gilscope._core import Histogram
from gilscope.isolated.payload import Kernel
from gilscope.records.result import Bins, Lag, Measure, Times
from gilscope.trial import machine_load
from gilscope.trial.baseline import forked
from gilscope.trial.clock import TrialClock
from gilscope.trial.cpu_time import ProcessTree
from gilscope.trial.spans import Lanes, Stamp, Stamped
from gilscope.trial.strategies import STAMPED_STRATEGIES, interpreter
from gilscope.trial.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.result import Plan
    from gilscope.trial.baseline import BaselineProcess
    from gilscope.trial.request import TrialRequest
    from gilscope.trial.strategies import Run, Strategy


async def run(request: TrialRequest) -> Measure:
    """Run the trial that ``request`` describes."""
    if request.strategy is None or request.work is None:
        return await idle(request.plan)
    steps = request.work.count if isinstance(request.work, Kernel) else 1
    with forked(
        request.baseline, request.plan.seconds
    ) as baseline:  # before the user's modules, which may start threads
        strategy = request.strategy.load()  # before the work, which lets the user's folders be searched for modules
        function, args = request.work.load()
        measure = await trial(
            strategy,
            function,
            args,
            request.plan,
            steps=steps,
            yield_after_call=request.yield_after_call,
            baseline=baseline,
        )
    lost = request.baseline is not None and measure.baseline_slices is None
    return msgspec.structs.replace(measure, baseline_lost=lost)


async def idle(plan: Plan) -> Measure:
    """Measure an event loop that has nothing to do: the least lag that this machine allows."""
    return await _beside_a_ticker(plan, None, start_up=0.0)


async def trial(
    strategy: Strategy,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    plan: Plan,
    *,
    steps: int = 1,
    yield_after_call: bool = False,
    baseline: BaselineProcess | None = None,
) -> Measure:
    """Call ``function(*args)`` over and over for ``plan.seconds``, ``plan.concurrency`` calls at once, beside a ticker.

    A call does ``steps`` steps of work. With ``yield_after_call`` the loop gets a turn after every call, as in a service
    that makes one call a request; otherwise only a call that waits gives it a turn, as in the article's worker.
    """
    async with AsyncExitStack() as stack:
        work = Stamped(function) if strategy in STAMPED_STRATEGIES else function
        began = time.perf_counter()
        try:
            call = await stack.enter_async_context(strategy(work, plan.concurrency))
        except Exception:
            # An interpreter takes a function of a script that it may not import, but not an object that contains it.
            if strategy is not interpreter:
                raise
            work, began = function, time.perf_counter()
            call = await stack.enter_async_context(strategy(work, plan.concurrency))
        start_up = time.perf_counter() - began
        calls = _TimedCalls(call, work, args, yield_after_call=yield_after_call)
        return await _beside_a_ticker(plan, calls, start_up=start_up, steps=steps, baseline=baseline)


class _TimedCalls:
    """The calls of a trial, and how long each took."""

    def __init__(
        self, run: Run, function: Callable[..., Any], args: tuple[Any, ...], *, yield_after_call: bool
    ) -> None:
        self._call = (function, *args)
        self._run = run
        self._yield_after_call = yield_after_call
        self.times = Histogram()

    async def until(self, deadline: float, clock: TrialClock, lanes: Lanes, slot: int) -> tuple[int, float]:
        """Make one call after another until ``deadline``; return how many, and when after the start the last one ended.

        A call that still runs at the deadline is finished and counted in full.
        """
        calls = 0
        while (asked := clock.now()) < deadline:
            done = await self._run(*self._call)
            answered = clock.now()
            calls += 1
            self.times.record(answered - asked)
            if isinstance(done, Stamp):
                stamp = done._replace(begin=clock.at(done.begin), end=clock.at(done.end))
            else:
                stamp = Stamp(done, asked, answered, os.getpid(), None)
            lanes.add(stamp, slot)
            if self._yield_after_call:
                await asyncio.sleep(0)
        return calls, clock.now() - lanes.began


async def _beside_a_ticker(
    plan: Plan,
    calls: _TimedCalls | None,
    *,
    start_up: float,
    steps: int = 1,
    baseline: BaselineProcess | None = None,
) -> Measure:
    processes = ProcessTree(besides=() if baseline is None else baseline.pids)
    clock = TrialClock() if baseline is None else baseline.clock
    if baseline is not None:
        baseline.begin(processes.pids)
    ticker = Ticker(plan.tick, clock=clock.now)
    ticker.start()
    began, cpu_before, load_before = clock.now(), processes.cpu_time(), machine_load.now()
    baseline_before = _cpu_time(baseline)
    lanes, end = Lanes(began), began + plan.seconds

    done: list[tuple[int, float]] = []
    if calls is None:
        await asyncio.sleep(plan.seconds)
    else:
        done = await asyncio.gather(*(calls.until(end, clock, lanes, slot) for slot in range(plan.concurrency)))
    elapsed, spent = clock.now() - began, processes.cpu_time() - cpu_before
    ours = None if spent.used is None else spent.used + _cpu_time(baseline) - baseline_before
    others_share, idle_share = machine_load.shares(load_before, machine_load.now(), ours)
    await ticker.stop()
    measured = None if baseline is None else baseline.end()
    return Measure(
        start_up=start_up,
        elapsed=elapsed,
        tasks=sum(tasks for tasks, _ in done),
        rate=sum(tasks * steps / lasted for tasks, lasted in done),
        cpu=spent.used,
        queued=spent.queued,
        call=None if calls is None else _times(calls.times),
        lag=_lag(ticker),
        ticks=Bins(width=ticker.bins.width, due=ticker.bins.due, came=ticker.bins.came, worst=ticker.bins.worst),
        lanes=lanes.record(),
        others_share=others_share,
        idle_share=idle_share,
        baseline_slices=measured,
    )


def _cpu_time(baseline: BaselineProcess | None) -> float:
    return 0.0 if baseline is None else baseline.cpu_time()


def _lag(ticker: Ticker) -> Lag:
    quantile = ticker.lags.quantile
    return Lag(
        due=ticker.due, came=ticker.came, p50=quantile(0.5), p90=quantile(0.9), p99=quantile(0.99), max=quantile(1.0)
    )


def _times(times: Histogram) -> Times | None:
    p50, p90, longest = (times.quantile(q) for q in (0.5, 0.9, 1.0))
    return None if p50 is None or p90 is None or longest is None else Times(p50=p50, p90=p90, max=longest)
