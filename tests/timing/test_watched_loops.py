"""Which event loops a watch sees, whenever and however they run."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from gilscope.watch.api import Watch

if TYPE_CHECKING:
    from tests.support.stalling import Run

from tests.support.stalling import LONG, in_coroutine, nap, run_asyncio, run_uvloop, seen


def test_a_loop_that_runs_already_is_watched() -> None:
    async def main() -> None:
        await asyncio.sleep(0)
        with Watch() as watch:
            nap()
            await asyncio.sleep(0)
            nap()
        assert ("blocked, waiting", "nap") in {seen(stall) for stall in watch.snapshot().worst}

    asyncio.run(main())


def test_a_loop_that_runs_already_in_another_thread_is_watched() -> None:
    started, watched = threading.Event(), threading.Event()

    async def main() -> None:
        started.set()
        while not watched.is_set():  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        nap()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    started.wait()
    with Watch() as watch:
        watched.set()
        thread.join()
    assert ("blocked, waiting", "nap") in {seen(stall) for stall in watch.snapshot().worst}


def test_a_loop_with_a_clock_of_its_own_is_not_watched() -> None:
    class Fake(asyncio.SelectorEventLoop):
        def time(self) -> float:
            return 1.0

    async def main() -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    with Watch() as watch, asyncio.Runner(loop_factory=Fake) as runner:
        runner.run(main())
    assert [(loop.name.rpartition(".")[2], loop.why) for loop in watch.snapshot().unwatched_loops] == [
        ("Fake", "clock")
    ]
    assert watch.snapshot().lags.count == 0


@pytest.mark.parametrize("run", [run_asyncio, run_uvloop])
def test_a_loop_that_outlives_the_watch_keeps_nothing_of_it(run: Run) -> None:
    def files() -> list[Path]:
        return sorted(file.readlink() for file in Path("/proc/self/fd").iterdir() if file.is_symlink())

    def start_and_stop() -> None:
        with Watch():
            time.sleep(0.03)

    async def main() -> None:
        start_and_stop()
        await asyncio.to_thread(int)  # the pool's thread and what it needs are there
        before = files()
        for _ in range(5):
            start_and_stop()
            await asyncio.to_thread(start_and_stop)
            await asyncio.sleep(0.01)
        assert files() == before

    run(main)


def test_a_loop_that_cannot_watch_files_gets_its_heartbeat_from_call_later() -> None:
    class Bare(asyncio.SelectorEventLoop):
        def add_reader(self, *_: object) -> NoReturn:
            raise NotImplementedError

    with Watch() as watch, asyncio.Runner(loop_factory=Bare) as runner:
        runner.run(in_coroutine(nap)())
        before = watch.snapshot().lags.count
        runner.run(asyncio.sleep(0.1))
    assert ("blocked, waiting", "nap") in {seen(stall) for stall in watch.snapshot().worst}
    assert watch.snapshot().lags.count - before > 5


def test_a_stall_is_reported_even_if_no_sample_was_taken_while_its_loop_ran() -> None:
    with Watch(sample="10s") as watch:
        time.sleep(0.1)  # the first sample is taken at once, and the next one in 5 s or more
        run_asyncio(in_coroutine(nap))
    assert watch.snapshot().worst[0].duration > LONG / 2


def test_the_thread_of_a_loop_is_named_even_if_it_was_never_seen_to_hold_the_gil() -> None:
    with Watch(read_gil=False) as watch:
        run_asyncio(in_coroutine(nap))
    assert {stall.thread.name for stall in watch.snapshot().worst} == {"MainThread"}
