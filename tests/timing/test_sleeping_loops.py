"""A loop that sleeps is not woken for its heartbeat, and a stall that begins while it sleeps is found all the same."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from gilscope import _core
from gilscope.watch.api import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilscope.records.stall import Cause, Stall

from tests.support.stalling import LONG, Run, hold, nap, run_asyncio, run_uvloop, seen, undisturbed

FULL_RATE_AT_START = 0.2
UNTIL_STEADY = FULL_RATE_AT_START + 0.4
"""Seconds from the start of a watch until it lets loops sleep."""
UNTIL_ASLEEP = 0.4
MAX_ERROR = LONG / 4
"""Seconds. The length of a stall is known to within a heartbeat, 0.01 s, if the threads get a CPU when they need one: see
``benches/watch_truth.py``."""


WITHOUT_CPU: set[Cause] = {"no CPU", "unknown"}
"""Causes of stalls by a busy machine."""


@pytest.fixture(autouse=True)
def _soon_steady() -> Iterator[None]:
    before = _core._Testing.set_full_rate_at_start(FULL_RATE_AT_START)
    yield
    _core._Testing.set_full_rate_at_start(before)


@pytest.fixture(params=[run_asyncio, pytest.param(run_uvloop, marks=pytest.mark.thorough)])
def run(request: pytest.FixtureRequest) -> Run:
    chosen: Run = request.param
    return chosen


def in_epoll() -> None:
    """Wait in a selector that is not the loop's."""
    with select.epoll() as other:
        other.poll(LONG)


def in_select() -> None:
    select.select([], [], [], LONG)


def stalls_of(run: Run, *callbacks: Callable[[], None], in_pool: bool = False) -> list[Stall]:
    """Run the callbacks in a loop that sleeps before each, and return the stalls that were reported."""

    async def main() -> None:
        await asyncio.sleep(UNTIL_STEADY)
        for callback in callbacks:
            await asyncio.sleep(UNTIL_ASLEEP)
            if in_pool:
                await asyncio.to_thread(callback)
            else:
                callback()
        await asyncio.sleep(UNTIL_ASLEEP)

    def watched() -> list[Stall]:
        with Watch() as watch:
            run(main)
        return [stall for stall in watch.snapshot().worst if stall.duration > LONG / 2]

    return undisturbed(watched)


def wakeups(thread: int) -> int:
    """Return how often a thread has gone to sleep."""
    status = Path(f"/proc/self/task/{thread}/status").read_text()
    return int(dict(line.split(":", 1) for line in status.splitlines())["voluntary_ctxt_switches"])


def test_a_loop_that_sleeps_is_not_woken_and_its_heartbeats_count_as_on_time(run: Run) -> None:
    async def main() -> None:
        await asyncio.sleep(UNTIL_STEADY + UNTIL_ASLEEP)
        beats, slept = watch.snapshot().lags.count, wakeups(threading.get_native_id())
        await asyncio.sleep(1)
        results.append((wakeups(threading.get_native_id()) - slept, watch.snapshot().lags.count - beats))

    results: list[tuple[int, int]] = []
    with Watch() as watch:
        run(main)
    [(woken, beats)] = results
    assert woken < 20  # a hundred times if it were woken for each
    assert beats > 70
    assert watch.snapshot().stalls.keys() <= WITHOUT_CPU


def test_a_stall_that_begins_while_the_loop_sleeps_is_found(run: Run) -> None:
    expected: dict[Callable[[], None], Cause] = {
        nap: "blocked, waiting",
        in_epoll: "blocked, waiting",
        in_select: "blocked, waiting",
        hold: "blocked, computing",
    }
    reported = stalls_of(run, *expected)
    found = {seen(stall) for stall in reported}
    assert found == {(cause, callback.__name__) for callback, cause in expected.items()}
    for stall in reported:
        assert stall.duration == pytest.approx(LONG, abs=MAX_ERROR)


def test_a_hog_beside_a_loop_that_sleeps_is_found() -> None:
    reported = stalls_of(run_asyncio, hold, hold, in_pool=True)
    assert [seen(stall) for stall in reported] == [("starved by a hog", "hold")] * 2
    for stall in reported:
        assert stall.duration == pytest.approx(LONG, abs=MAX_ERROR)


def test_a_loop_that_sleeps_and_has_much_to_do_in_between_is_not_late() -> None:
    def serve() -> None:
        end = time.perf_counter() + 0.002
        while time.perf_counter() < end:
            pass

    async def main() -> None:
        await asyncio.sleep(UNTIL_STEADY)
        for _ in range(60):
            await asyncio.sleep(0.023)
            serve()
        lags = watch.snapshot().lags
        assert lags.p50 is not None
        assert lags.p50 < 0.005

    with Watch() as watch:
        run_asyncio(main)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_leaves_the_heartbeat_of_its_sleeping_parent_alone() -> None:
    def fork() -> None:
        child = os.fork()
        if child == 0:
            time.sleep(2 * UNTIL_ASLEEP)
            os._exit(0)
        children.append(child)

    children: list[int] = []
    reported = stalls_of(run_asyncio, fork, nap)
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ("blocked, waiting", "nap") in map(seen, reported)


def test_a_process_that_was_stopped_while_its_loop_slept_had_no_cpu() -> None:
    program = dedent(
        f"""
        import asyncio, sys
        from gilscope._core import _Testing
        from gilscope.watch.api import Watch

        _Testing.set_full_rate_at_start({FULL_RATE_AT_START})

        async def main():
            await asyncio.sleep({UNTIL_STEADY + UNTIL_ASLEEP})
            print("up", flush=True)
            await asyncio.to_thread(sys.stdin.read)
            await asyncio.sleep(0.1)

        with Watch() as watch:
            asyncio.run(main())
        print({{stall.cause for stall in watch.snapshot().worst if stall.duration > 0.25}})
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        time.sleep(UNTIL_ASLEEP)
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        process.send_signal(signal.SIGCONT)
        process.stdin.close()
        assert process.stdout.read() == "{'no CPU'}\n"


def test_a_loop_that_is_woken_by_its_sockets_is_not_late() -> None:
    """A loop that sleeps and is woken again and again handles what has come at once: no stall, and no lag, is made up."""

    async def main() -> None:
        near, far = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=near)
        await asyncio.sleep(UNTIL_STEADY + UNTIL_ASLEEP)
        sender = threading.Thread(target=send, args=(far,))
        sender.start()
        for _ in range(40):
            await reader.readexactly(1)
        sender.join()
        writer.close()
        far.close()

    def send(far: socket.socket) -> None:
        for _ in range(40):
            time.sleep(0.037)
            far.send(b"x")

    with Watch() as watch:
        run_asyncio(main)
    assert watch.snapshot().stalls.keys() <= WITHOUT_CPU
