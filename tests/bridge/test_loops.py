"""Loops come and go, in any thread, closed properly or not: the bridge goes with them and leaves nothing behind."""

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

from tests.support.bridging import FOR_EVER, LOOPS, PATIENCE, descriptors, rests, settles, threads_at_work

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
    assert rests()
    before = descriptors()
    for _ in range(2000):
        with asyncio.Runner(loop_factory=loop) as runner:
            assert runner.run(several_at_once(3)) == [0, 1, 2]
    assert settles(lambda: descriptors() <= before)


@on_every_loop
def test_a_loop_that_is_closed_with_work_in_flight_stops_it_and_leaves_no_descriptor(loop: Loop) -> None:
    run(loop)  # uvloop's first loop opens what it never closes
    before = descriptors()
    forgotten = []
    for _ in range(100):
        event_loop = loop()
        forgotten.append(event_loop.run_until_complete(started(FOR_EVER)))  # the future lives on
        event_loop.close()
        del event_loop
    assert rests()
    assert settles(lambda: descriptors() <= before)
    assert not any(future.done() for future in forgotten)


def test_a_loop_that_is_dropped_without_being_closed_is_collected_with_its_descriptor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # asyncio's loop only: uvloop never collects a loop that has run.
    # What asyncio's own finalizer raises on 3.11 has a traceback that holds the loop, and pytest's hook keeps it.
    monkeypatch.setattr(sys, "unraisablehook", lambda _unraisable: None)
    before = descriptors()

    def dropped() -> weakref.ref[asyncio.AbstractEventLoop]:
        event_loop = asyncio.SelectorEventLoop()
        event_loop.run_until_complete(started(FOR_EVER))
        return weakref.ref(event_loop)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        references = [dropped() for _ in range(20)]

        def are_gone() -> bool:
            gc.collect()  # and again for one that was just being woken, whose reference is dead nevertheless
            return threads_at_work() == 0 and all(reference() is None for reference in references)

        assert settles(are_gone)
    assert settles(lambda: descriptors() <= before)


@on_every_loop
def test_a_loop_has_one_descriptor_however_often_it_is_used(loop: Loop) -> None:
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
def test_two_loops_of_one_thread_can_take_turns(loop: Loop) -> None:
    with asyncio.Runner(loop_factory=loop) as first, asyncio.Runner(loop_factory=loop) as second:
        earlier = first.run(started(5))
        for _ in range(10):
            assert second.run(several_at_once()) == list(range(100))
            assert first.run(several_at_once()) == list(range(100))
        assert earlier.result() == 5


@on_every_loop
def test_a_loop_may_move_to_another_thread_with_work_in_flight(loop: Loop) -> None:
    event_loop = loop()
    counting = event_loop.run_until_complete(started(10_000_000))
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(event_loop.run_until_complete(counting)))
    thread.start()
    thread.join()
    event_loop.close()
    assert results == [10_000_000]


@on_every_loop
def test_work_for_a_loop_in_another_thread_is_started_there(loop: Loop) -> None:
    event_loop = loop()
    thread = threading.Thread(target=event_loop.run_forever)
    thread.start()
    try:
        assert asyncio.run_coroutine_threadsafe(several_at_once(), event_loop).result(PATIENCE) == list(range(100))
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
    assert event_loop.run_until_complete(asyncio.wait_for(counting, PATIENCE)) == 7
    event_loop.close()


def test_whoever_takes_the_reader_away_gets_another_with_the_next_await() -> None:
    async def robbed() -> int:
        await countdown_bridge(0)
        event_loop = asyncio.get_running_loop()
        selector = event_loop._selector  # type: ignore[attr-defined]
        for key in list(selector.get_map().values()):
            if "BridgeReader" in repr(key.data):
                event_loop.remove_reader(key.fd)
        return await asyncio.wait_for(countdown_bridge(3), PATIENCE)

    before = descriptors()
    assert asyncio.run(robbed()) == 3
    assert settles(lambda: descriptors() <= before)


def test_the_work_of_a_closed_loop_does_not_keep_others_waiting() -> None:
    event_loop = asyncio.new_event_loop()
    for _ in range(50):
        event_loop.run_until_complete(started(FOR_EVER))
    assert settles(lambda: threads_at_work() > 0)
    event_loop.close()
    assert asyncio.run(asyncio.wait_for(several_at_once(), PATIENCE)) == list(range(100))


@pytest.mark.thorough
def test_a_million_awaits_take_no_memory_and_no_descriptor() -> None:
    async def awaits(bursts: int) -> None:
        for _ in range(bursts):
            await asyncio.gather(*(countdown_bridge(0) for _ in range(990)))
            for _ in range(10):
                await countdown_bridge(0)

    def resident() -> int:
        with open("/proc/self/statm") as pages:  # noqa: PTH123
            return int(pages.read().split()[1]) * 4096

    async def grown() -> tuple[int, int]:
        await awaits(100)
        before = resident(), descriptors()
        await awaits(900)
        return resident() - before[0], descriptors() - before[1]

    memory, more_descriptors = asyncio.run(grown())
    assert more_descriptors == 0
    assert memory < 4_000_000  # 4 bytes an await would be 3.6 MB
