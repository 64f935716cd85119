"""The bridge works with many loops, in any thread, and leaves nothing behind when a loop is closed or collected."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import warnings
import weakref
from typing import TYPE_CHECKING

import pytest
from gilscope import countdown_bridge
from gilscope._core import bridge_workers

from tests.support.bridging import (
    FOR_EVER,
    LOOPS,
    SECONDS_TO_WAIT,
    becomes_idle,
    becomes_true,
    descriptors,
    threads_at_work,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Loop = Callable[[], asyncio.AbstractEventLoop]

on_every_loop = pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])


async def several_at_once(number: int = 100) -> list[int]:
    return await asyncio.gather(*map(countdown_bridge, range(number)))


async def started(n: int) -> asyncio.Future[int]:
    return countdown_bridge(n)


def run(loop: Loop) -> list[int]:
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(several_at_once())


@pytest.mark.thorough
@on_every_loop
def test_thousands_of_loops_one_after_another_leave_no_descriptor(loop: Loop) -> None:
    for _ in range(10):
        run(loop)
    assert becomes_idle()
    before = descriptors()
    for _ in range(1000):
        with asyncio.Runner(loop_factory=loop) as runner:
            assert runner.run(several_at_once(3)) == [0, 1, 2]
    assert becomes_true(lambda: descriptors() <= before)


@on_every_loop
def test_closing_a_loop_stops_its_work_and_leaves_no_descriptor(loop: Loop) -> None:
    run(loop)  # uvloop's first loop opens descriptors that it never closes
    before = descriptors()
    never_done = []
    for _ in range(100):
        event_loop = loop()
        never_done.append(event_loop.run_until_complete(started(FOR_EVER)))  # keeps the future alive
        event_loop.close()
        del event_loop
    assert becomes_idle()
    assert becomes_true(lambda: descriptors() <= before)
    assert not any(future.done() for future in never_done)


def test_a_loop_that_is_never_closed_is_collected_with_its_descriptor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Only asyncio's loop: uvloop never collects a loop that has run. On 3.11 asyncio's finalizer raises an exception whose
    # traceback references the loop, and pytest's hook would keep it.
    monkeypatch.setattr(sys, "unraisablehook", lambda _unraisable: None)
    before = descriptors()

    def dropped() -> weakref.ref[asyncio.AbstractEventLoop]:
        event_loop = asyncio.SelectorEventLoop()
        event_loop.run_until_complete(started(FOR_EVER))
        return weakref.ref(event_loop)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        references = [dropped() for _ in range(20)]
        gc.collect()
        assert [reference() for reference in references] == [None] * 20
    assert becomes_idle()
    assert becomes_true(lambda: descriptors() <= before)


@on_every_loop
def test_a_loop_needs_one_descriptor_however_often_it_is_used(loop: Loop) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(several_at_once())
        before = descriptors()
        for _ in range(100):
            runner.run(several_at_once())
        assert descriptors() == before


@on_every_loop
def test_loops_in_several_threads_run_at_once(loop: Loop) -> None:
    results: list[list[int]] = []
    threads = [threading.Thread(target=lambda: results.append(run(loop))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [list(range(100))] * 8


@on_every_loop
def test_two_loops_can_take_turns_in_one_thread(loop: Loop) -> None:
    with asyncio.Runner(loop_factory=loop) as first, asyncio.Runner(loop_factory=loop) as second:
        earlier = first.run(started(5))
        for _ in range(10):
            assert second.run(several_at_once()) == list(range(100))
            assert first.run(several_at_once()) == list(range(100))
        assert earlier.result() == 5


@on_every_loop
def test_a_loop_with_work_in_flight_may_move_to_another_thread(loop: Loop) -> None:
    event_loop = loop()
    counting = event_loop.run_until_complete(started(10_000_000))
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(event_loop.run_until_complete(counting)))
    thread.start()
    thread.join()
    event_loop.close()
    assert results == [10_000_000]


@on_every_loop
def test_another_thread_can_start_work_on_a_loop(loop: Loop) -> None:
    event_loop = loop()
    thread = threading.Thread(target=event_loop.run_forever)
    thread.start()
    try:
        assert asyncio.run_coroutine_threadsafe(several_at_once(), event_loop).result(SECONDS_TO_WAIT) == list(
            range(100)
        )
    finally:
        event_loop.call_soon_threadsafe(event_loop.stop)
        thread.join()
        event_loop.close()


def test_a_result_for_a_closed_loop_does_not_disturb_a_new_loop_at_the_same_address() -> None:
    async def started_on_every_worker() -> list[asyncio.Future[int]]:
        return [countdown_bridge(FOR_EVER) for _ in range(bridge_workers())]

    busy, event_loop = asyncio.SelectorEventLoop(), asyncio.SelectorEventLoop()
    busy.run_until_complete(started_on_every_worker())
    event_loop.run_until_complete(started(0))  # queued behind the endless countdowns
    event_loop.close()
    event_loop.__init__()  # type: ignore[misc]  # the same object, and so the same address, becomes a new loop
    counting = event_loop.run_until_complete(started(7))
    busy.close()  # frees the workers: the result for the closed loop comes first
    assert event_loop.run_until_complete(asyncio.wait_for(counting, SECONDS_TO_WAIT)) == 7
    event_loop.close()


def test_after_its_reader_was_removed_a_loop_gets_a_new_one_with_the_next_await() -> None:
    async def after_removal() -> int:
        await countdown_bridge(0)
        event_loop = asyncio.get_running_loop()
        selector = event_loop._selector  # type: ignore[attr-defined]
        for key in list(selector.get_map().values()):
            if "BridgeReader" in repr(key.data):
                event_loop.remove_reader(key.fd)
        return await asyncio.wait_for(countdown_bridge(3), SECONDS_TO_WAIT)

    before = descriptors()
    assert asyncio.run(after_removal()) == 3
    assert becomes_true(lambda: descriptors() <= before)


def test_the_work_of_a_closed_loop_does_not_delay_other_loops() -> None:
    event_loop = asyncio.new_event_loop()
    for _ in range(50):
        event_loop.run_until_complete(started(FOR_EVER))
    assert becomes_true(lambda: threads_at_work() > 0)
    event_loop.close()
    assert asyncio.run(asyncio.wait_for(several_at_once(), SECONDS_TO_WAIT)) == list(range(100))


@pytest.mark.thorough
def test_a_million_awaits_leak_neither_memory_nor_descriptors() -> None:
    async def awaits(bursts: int) -> None:
        for _ in range(bursts):
            await asyncio.gather(*(countdown_bridge(0) for _ in range(990)))
            for _ in range(10):
                await countdown_bridge(0)

    def resident_bytes() -> int:
        with open("/proc/self/statm") as pages:  # noqa: PTH123
            return int(pages.read().split()[1]) * 4096

    async def grown() -> tuple[int, int]:
        await awaits(100)
        before = resident_bytes(), descriptors()
        await awaits(900)
        return resident_bytes() - before[0], descriptors() - before[1]

    memory, more_descriptors = asyncio.run(grown())
    assert more_descriptors == 0
    assert memory < 4_000_000  # a leak of 5 bytes per await would be 4.5 MB
