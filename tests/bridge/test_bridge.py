"""The awaitables of the bridge: futures like any other, whose work ends when nobody wants it any more."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from gilscope import countdown_bridge
from gilscope._core import _Testing, bridge_workers

from tests.support import child
from tests.support.bridging import FOR_EVER, LOOPS, PATIENCE, descriptors, rests, settles, threads_at_work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Loop = Callable[[], asyncio.AbstractEventLoop]

T = TypeVar("T")

on_every_loop = pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])


def run(main: Awaitable[T], loop: Loop) -> T:
    async def awaited() -> T:
        return await main

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(awaited())


async def one(n: int) -> int:
    return await countdown_bridge(n)


async def several_at_once() -> list[int]:
    return await asyncio.gather(*map(countdown_bridge, range(100)))


async def is_stopped_by(stop: Callable[[asyncio.Future[int]], Awaitable[object]]) -> bool:
    counting = countdown_bridge(FOR_EVER)
    assert settles(lambda: threads_at_work() > 0)
    await stop(counting)
    await asyncio.sleep(0)  # a cancelled future tells its callbacks in the loop's next turn
    return rests()


@on_every_loop
def test_it_returns_the_number_of_decrements(loop: Loop) -> None:
    assert run(one(100_000), loop) == 100_000


@on_every_loop
def test_it_can_be_gathered(loop: Loop) -> None:
    assert run(several_at_once(), loop) == list(range(100))


def test_it_is_an_asyncio_future_of_the_running_loop() -> None:
    async def future() -> asyncio.Future[int]:
        counting = countdown_bridge(3)
        assert counting.get_loop() is asyncio.get_running_loop()
        await counting
        return counting

    assert isinstance(asyncio.run(future()), asyncio.Future)


def test_it_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        countdown_bridge(5)


def test_a_loop_without_add_reader_is_refused_with_a_remedy_and_keeps_no_descriptor() -> None:
    class LoopWithoutReaders(asyncio.SelectorEventLoop):
        add_reader = asyncio.AbstractEventLoop.add_reader  # raises NotImplementedError without a message

    async def refused() -> None:
        before = descriptors()
        with pytest.raises(NotImplementedError, match=r"add_reader.*LoopWithoutReaders.*asyncio\.SelectorEventLoop"):
            countdown_bridge(5)
        assert descriptors() == before

    run(refused(), LoopWithoutReaders)


def test_an_error_of_add_reader_is_passed_on() -> None:
    class Failing(asyncio.SelectorEventLoop):
        def add_reader(self, *_reader: Any) -> None:  # type: ignore[override]
            raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        run(one(5), Failing)


@on_every_loop
def test_cancelling_the_future_ends_the_native_work(loop: Loop) -> None:
    async def cancel(counting: asyncio.Future[int]) -> None:
        counting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await counting

    assert run(is_stopped_by(cancel), loop)


@on_every_loop
def test_cancelling_the_task_that_awaits_ends_the_native_work(loop: Loop) -> None:
    async def cancel(counting: asyncio.Future[int]) -> None:
        async def awaiting() -> int:
            return await counting

        task = asyncio.create_task(awaiting())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert run(is_stopped_by(cancel), loop)


@on_every_loop
def test_a_time_out_ends_the_native_work(loop: Loop) -> None:
    async def time_out(counting: asyncio.Future[int]) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(counting, 0.001)

    assert run(is_stopped_by(time_out), loop)


def test_cancelled_work_that_waited_for_a_worker_is_never_done() -> None:
    async def cancelled() -> int:
        counting = [countdown_bridge(FOR_EVER) for _ in range(100 * bridge_workers())]
        for future in counting:
            future.cancel()
        await asyncio.sleep(0)
        assert rests()
        return await asyncio.wait_for(countdown_bridge(7), PATIENCE)

    assert asyncio.run(cancelled()) == 7


@on_every_loop
def test_a_result_that_comes_too_late_for_its_future_is_dropped(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    async def overtaken() -> list[object]:
        cancelled, settled = countdown_bridge(0), countdown_bridge(0)
        assert rests()  # the results are in the queue, and the loop has not looked
        cancelled.cancel()
        settled.set_result(99)
        return [*await asyncio.gather(cancelled, settled, return_exceptions=True), await countdown_bridge(1)]

    with caplog.at_level(logging.DEBUG, logger="asyncio"):
        cancelled, *others = run(overtaken(), loop)
    assert isinstance(cancelled, asyncio.CancelledError)
    assert others == [99, 1]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@on_every_loop
def test_a_panic_in_a_worker_is_an_exception_with_its_message_and_is_not_printed(
    loop: Loop, capfd: pytest.CaptureFixture[str]
) -> None:
    async def panicking() -> str:
        with pytest.raises(RuntimeError) as raised:
            await _Testing.panic_bridge("no such luck")
        return str(raised.value)

    assert run(panicking(), loop) == "a worker panicked: no such luck"
    assert capfd.readouterr() == ("", "")


def test_workers_live_on_after_more_panics_than_there_are_workers() -> None:
    async def after_panics() -> int:
        panics = [_Testing.panic_bridge(str(number)) for number in range(10 * bridge_workers())]
        ends = await asyncio.gather(*panics, return_exceptions=True)
        assert [str(end) for end in ends] == [f"a worker panicked: {number}" for number in range(len(panics))]
        return await countdown_bridge(5)

    assert asyncio.run(after_panics()) == 5


def test_as_many_countdowns_run_at_once_as_there_are_workers() -> None:
    async def at_once(workers: int) -> bool:
        counting = [countdown_bridge(FOR_EVER) for _ in range(workers)]
        seen = settles(lambda: threads_at_work() == workers)
        for future in counting:
            future.cancel()
        await asyncio.wait(counting)
        return seen

    assert asyncio.run(at_once(bridge_workers()))
    more = bridge_workers() + 1
    assert bridge_workers(at_least=more) == more
    assert asyncio.run(at_once(more))


def test_workers_are_never_fewer_than_before() -> None:
    assert bridge_workers(at_least=0) == bridge_workers()
    with pytest.raises(OverflowError):
        bridge_workers(at_least=-1)


def test_the_loop_runs_while_it_counts() -> None:
    async def cancelled_by_the_loop() -> bool:
        counting = countdown_bridge(FOR_EVER)
        asyncio.get_running_loop().call_later(0.01, counting.cancel)  # the only way to the end
        await asyncio.wait([counting])
        return counting.cancelled()

    assert asyncio.run(cancelled_by_the_loop())


def test_ctrl_c_ends_the_loop_and_the_native_work() -> None:
    async def interrupted() -> None:
        asyncio.get_running_loop().call_later(0.01, signal.raise_signal, signal.SIGINT)
        await countdown_bridge(FOR_EVER)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(interrupted())
    assert rests()


def test_cancelling_is_quick() -> None:
    script = """
        import asyncio, os, statistics, time
        from gilscope import countdown_bridge
        from gilscope._core import bridge_workers

        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})
        assert bridge_workers() == 1
        os.sched_setaffinity(0, cores)

        async def main():
            times = []
            for _ in range(51):
                in_the_way, behind = countdown_bridge(2**64 - 1), countdown_bridge(0)
                await asyncio.sleep(0.001)
                begun = time.perf_counter()
                in_the_way.cancel()
                await behind  # its turn comes when the one worker is free
                times.append(time.perf_counter() - begun)
            print(statistics.median(times))

        asyncio.run(main())
    """
    assert float(child.output(script)[0]) < 0.05  # 0.1 ms on a quiet machine


def test_a_loop_in_debug_mode_finds_nothing_to_say(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="asyncio"):
        assert asyncio.run(several_at_once(), debug=True) == list(range(100))
    assert [record for record in caplog.records if "took" not in record.getMessage()] == []


@on_every_loop
def test_a_flood_of_results_is_settled_over_many_turns(loop: Loop) -> None:
    flood = 20_000

    async def settled_by_turn() -> list[int]:
        counting = [countdown_bridge(0) for _ in range(flood)]
        assert rests()  # all results are in the queue
        settled, by_turn = 0, []
        while settled < flood:
            await asyncio.sleep(0)
            now = sum(future.done() for future in counting)
            by_turn.append(now - settled)
            settled = now
        return by_turn

    by_turn = run(settled_by_turn(), loop)
    assert max(by_turn) < flood / 4
