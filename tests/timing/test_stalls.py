"""A watch reports why a loop stalled and which line caused it, on asyncio and on uvloop."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
import time
from ctypes import CDLL
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from gilscope.watch.api import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.stall import Cause, Stall

from tests.support.stalling import (
    LONG,
    Main,
    Run,
    hold,
    in_coroutine,
    in_pool,
    nap,
    run_asyncio,
    run_uvloop,
    stalls,
    the,
    undisturbed,
)


@pytest.fixture(params=[run_asyncio, pytest.param(run_uvloop, marks=pytest.mark.thorough)])
def run(request: pytest.FixtureRequest) -> Run:
    chosen: Run = request.param
    return chosen


def test_a_call_that_holds_the_gil_in_a_coroutine(run: Run) -> None:
    stall = the("blocked, computing", "hold", stalls(run, in_coroutine(hold)))
    assert stall.culprit_thread == stall.thread
    assert stall.callback is not None
    assert stall.callback.function == "stalls.<locals>.again_and_again"


def test_a_call_that_sleeps_in_a_coroutine(run: Run) -> None:
    stall = the("blocked, waiting", "nap", stalls(run, in_coroutine(nap)))
    assert stall.duration > LONG * 0.8


def test_a_lock_in_a_coroutine_is_not_mistaken_for_the_gil(run: Run) -> None:
    lock = threading.Lock()

    def wait() -> None:
        lock.acquire(timeout=LONG)

    with lock:
        reported = stalls(run, in_coroutine(wait))
    the("blocked, waiting", "test_a_lock_in_a_coroutine_is_not_mistaken_for_the_gil.<locals>.wait", reported)


def test_a_call_that_holds_the_gil_in_a_pool(run: Run) -> None:
    stall = the("starved by a hog", "hold", stalls(run, in_pool(hold)))
    assert stall.culprit_thread is not None
    assert (stall.culprit_thread.name or "").startswith("pool")
    assert stall.noticed is not None  # while it held the GIL
    assert stall.noticed < stall.end
    assert stall.noticed_holder == stall.culprit_thread


def test_a_call_that_releases_the_gil_in_a_pool_stalls_nothing(run: Run) -> None:
    with Watch(stall=LONG / 2) as watch:
        run(in_pool(lambda: CDLL(None).usleep(int(LONG * 1e6))))
    assert not {"starved by a hog", "blocked, computing", "blocked, waiting"} & watch.snapshot().stalls.keys()


def test_many_python_threads_take_turns(run: Run) -> None:
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            pass

    async def main() -> None:
        threads = [threading.Thread(target=spin) for _ in range(12)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 0.6
        # The loop comes back again and again; on a busy machine, a few times a second.
        while time.monotonic() < end or ("starved by turns" not in causes and time.monotonic() < end + 20):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        stop.set()
        for thread in threads:
            thread.join()

    causes: set[str] = set()
    with Watch(stall=0.03, on_stall=lambda stall: causes.add(stall.cause)) as watch:
        run(main)
    snapshot = watch.snapshot()
    turns = [stall for stall in snapshot.worst if stall.cause == "starved by turns"]
    assert turns
    assert {stall.culprit.function for stall in turns if stall.culprit} <= {
        "test_many_python_threads_take_turns.<locals>.spin"
    }
    assert len(turns[0].evidence.contenders) > 1


def test_a_full_collection(run: Run) -> None:
    cyclic: list[Any] = [[] for _ in range(500_000)]
    for item in cyclic:
        item.append(item)

    async def collect_thrice() -> None:
        for _ in range(3):
            await in_coroutine(gc.collect)()

    with Watch(stall=0.02) as watch:
        run(collect_thrice)
    assert "garbage collection" in watch.snapshot().stalls
    assert not {"blocked, computing", "starved by a hog", "starved by turns"} & watch.snapshot().stalls.keys()
    assert watch.snapshot().collected > 0.02


def test_a_hog_and_a_sleep_are_distinguished_in_one_run(run: Run) -> None:
    async def main() -> None:
        await in_pool(hold)()
        await in_coroutine(nap)()

    reported = stalls(run, main)
    the("starved by a hog", "hold", [stall for stall in reported if stall.cause != "blocked, waiting"])
    the("blocked, waiting", "nap", [stall for stall in reported if stall.cause != "starved by a hog"])


def test_a_loop_that_stops_while_it_is_late_has_stalled(run: Run) -> None:
    async def main() -> None:
        await asyncio.sleep(0.05)
        nap()

    def watched() -> list[Stall]:
        with Watch() as watch:
            run(main)
        return [stall for stall in watch.snapshot().worst if stall.duration > LONG / 2]

    the("blocked, waiting", "nap", undisturbed(watched))


@pytest.mark.parametrize(
    ("where", "function", "cause"),
    [
        (in_pool, hold, "starved by a hog"),
        (in_coroutine, nap, "blocked, waiting"),
    ],
)
def test_without_reading_the_gil_the_prober_shows_the_cause_but_no_thread(
    where: Callable[[Callable[[], None]], Main], function: Callable[[], None], cause: Cause
) -> None:
    reported = stalls(run_asyncio, where(function), read_gil=False)
    assert {stall.cause for stall in reported} <= {cause, "no CPU", "unknown"}
    found = [stall for stall in reported if stall.cause == cause]
    assert found
    if cause == "starved by a hog":
        assert {stall.culprit_thread for stall in found} == {None}


def test_a_process_that_was_stopped_had_no_cpu() -> None:
    program = dedent(
        """
        import asyncio, sys, threading
        from gilscope.watch.api import Watch

        async def main():
            asked = threading.Event()
            threading.Thread(target=lambda: (sys.stdin.read(), asked.set())).start()
            await asyncio.sleep(0.05)
            print("up", flush=True)
            while not asked.is_set():
                await asyncio.sleep(0.005)

        with Watch() as watch:
            asyncio.run(main())
        print({stall.cause for stall in watch.snapshot().worst if stall.duration > 0.25})
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        process.send_signal(signal.SIGCONT)
        process.stdin.close()
        assert process.stdout.read() == "{'no CPU'}\n"


def test_the_task_and_its_coroutine_are_named() -> None:
    async def blocking() -> None:
        nap()

    async def main() -> None:
        await asyncio.sleep(0.05)
        await asyncio.create_task(blocking(), name="the culprit")

    stall = the("blocked, waiting", "nap", stalls(run_asyncio, main))
    assert stall.task == "the culprit"
    assert stall.coroutine is not None
    assert stall.coroutine.endswith("blocking")
