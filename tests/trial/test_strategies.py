import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gilscope
import pytest
from gilscope._core import bridge_workers
from gilscope.trial.cpu_time import ProcessTree, descendants
from gilscope.trial.strategies import STRATEGIES, from_executor, unavailable

from tests.support import child


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


def test_the_cpu_time_of_a_pools_processes_is_counted() -> None:
    async def main() -> tuple[float, float]:
        async with STRATEGIES["process"](gilscope.countdown_released, 1) as run:
            processes, own_before = ProcessTree(), time.process_time()
            before = processes.cpu_time()
            await run(gilscope.countdown_released, 400_000_000)
            used = (processes.cpu_time() - before).used
        assert used is not None
        return time.process_time() - own_before, used

    own, both = asyncio.run(main())
    assert both > own + 0.02


def test_a_process_that_shares_its_core_with_a_busy_one_queues_for_it() -> None:
    script = """
        import os, subprocess, sys, time
        from gilscope.trial.cpu_time import ProcessTree

        def delay_of_computing(seconds):
            own = ProcessTree()
            before, end = own.cpu_time(), time.process_time() + seconds
            while time.process_time() < end:
                pass
            return (own.cpu_time() - before).queued

        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        busy = subprocess.Popen([sys.executable, "-c", "print(flush=True); exec('while True: pass')"], stdout=subprocess.PIPE)
        busy.stdout.readline()
        queued = delay_of_computing(0.3)
        busy.kill()
        print(queued)
    """
    # Two busy processes share a core by halves: each waits as long as it computes, 0.3 s. The other one's queue counts too.
    assert float(child.output(script)[0]) > 0.15


def test_a_users_executor_has_as_many_workers_as_have_started() -> None:
    async def main() -> int:
        async with from_executor(lambda workers: ThreadPoolExecutor(min(workers, 1)))(whereabouts, 3) as run:
            return len(set(await asyncio.gather(*(run(whereabouts) for _ in range(6)))))

    assert asyncio.run(main()) == 1
