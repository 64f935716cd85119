import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gilscope
import pytest
from gilscope._core import bridge_workers
from gilscope.trial.cpu_time import descendants
from gilscope.trial.strategies import STRATEGIES, from_executor, unavailable


def whereabouts(_n: int = 0) -> tuple[int, int]:
    """Return the process and thread that this runs in."""
    return os.getpid(), threading.get_ident()


def gathered(strategy: str, function: Any, workers: int, *args: object) -> list[Any]:
    async def main() -> list[Any]:
        async with STRATEGIES[strategy](function, workers) as run:
            return await asyncio.gather(*(run(function, *args) for _ in range(2 * workers)))

    return asyncio.run(main())


def test_inline_runs_on_the_loops_own_thread() -> None:
    assert set(gathered("inline", whereabouts, 2)) == {whereabouts()}


def test_a_thread_pool_runs_on_other_threads_of_this_process() -> None:
    processes, threads = zip(*gathered("thread", whereabouts, 2), strict=True)
    assert set(processes) == {os.getpid()}
    assert threading.get_ident() not in threads


def test_a_process_pool_runs_in_other_processes() -> None:
    processes, _ = zip(*gathered("process", whereabouts, 2), strict=True)
    assert os.getpid() not in processes


@pytest.mark.parametrize("strategy", ["thread", "process", "interpreter"])
def test_every_worker_of_a_pool_has_started_when_the_clock_starts(strategy: str) -> None:
    if reason := unavailable(strategy):
        pytest.skip(reason)

    async def main() -> tuple[tuple[int, int], tuple[int, int]]:
        async with STRATEGIES[strategy](gilscope.countdown_python, 3) as run:
            before = threading.active_count(), len(descendants(os.getpid()))
            await asyncio.gather(*(run(gilscope.countdown_python, 1000) for _ in range(9)))
            return before, (threading.active_count(), len(descendants(os.getpid())))

    before, after = asyncio.run(main())
    assert before == after


@pytest.mark.parametrize(
    ("strategy", "function"),
    [
        ("inline", "countdown_held"),
        ("cooperative", "countdown_cooperative"),
        ("thread", "countdown_released"),
        ("process", "countdown_released"),
        ("interpreter", "countdown_python"),
        ("tokio", "countdown_tokio"),
        ("bridge", "countdown_bridge"),
    ],
)
def test_every_strategy_returns_what_the_work_returns(strategy: str, function: str) -> None:
    if reason := unavailable(strategy):
        pytest.skip(reason)
    assert gathered(strategy, getattr(gilscope, function), 2, 5000) == [5000] * 4


def test_the_bridge_has_as_many_threads_as_asked_for() -> None:
    workers = bridge_workers() + 2
    assert gathered("bridge", gilscope.countdown_bridge, workers, 5) == [5] * (2 * workers)
    assert bridge_workers() == workers


def test_an_exception_in_the_work_comes_out_of_the_call() -> None:
    for strategy in ("inline", "thread", "process"):
        with pytest.raises(ValueError, match="n must be from 0"):
            gathered(strategy, gilscope.countdown_python, 1, -1)


def test_a_users_executor_has_as_many_workers_as_have_started() -> None:
    async def main() -> int:
        async with from_executor(lambda workers: ThreadPoolExecutor(min(workers, 1)))(whereabouts, 3) as run:
            return len(set(await asyncio.gather(*(run(whereabouts) for _ in range(6)))))

    assert asyncio.run(main()) == 1
