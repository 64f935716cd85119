"""The futures of ``countdown_bridge`` behave like other asyncio futures, and cancelling one stops its native work."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from gilscope import countdown_bridge
from gilscope._core import _Testing, bridge_workers

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
    assert becomes_true(lambda: threads_at_work() > 0)
    await stop(counting)
    await asyncio.sleep(0)  # the loop calls a cancelled future's callbacks in its next turn
    return becomes_idle()


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
def test_cancelling_the_future_stops_the_native_work(loop: Loop) -> None:
    async def cancel(counting: asyncio.Future[int]) -> None:
        counting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await counting

    assert run(is_stopped_by(cancel), loop)


@on_every_loop
def test_cancelling_the_awaiting_task_stops_the_native_work(loop: Loop) -> None:
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
def test_a_timeout_stops_the_native_work(loop: Loop) -> None:
    async def let_time_out(counting: asyncio.Future[int]) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(counting, 0.001)

    assert run(is_stopped_by(let_time_out), loop)


def test_work_that_is_cancelled_before_a_worker_is_free_never_starts() -> None:
    async def cancelled() -> int:
        counting = [countdown_bridge(FOR_EVER) for _ in range(100 * bridge_workers())]
        for future in counting:
            future.cancel()
        await asyncio.sleep(0)
        assert becomes_idle()
        return await asyncio.wait_for(countdown_bridge(7), SECONDS_TO_WAIT)

    assert asyncio.run(cancelled()) == 7


@on_every_loop
def test_a_result_for_a_future_that_is_already_done_is_dropped(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    async def results_for_done_futures() -> list[object]:
        cancelled, settled = countdown_bridge(0), countdown_bridge(0)
        assert becomes_idle()  # both completions are in the queue, and the loop has not taken them
        cancelled.cancel()
        settled.set_result(99)
        return [*await asyncio.gather(cancelled, settled, return_exceptions=True), await countdown_bridge(1)]

    with caplog.at_level(logging.DEBUG, logger="asyncio"):
        cancelled, *others = run(results_for_done_futures(), loop)
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


def test_workers_survive_panics() -> None:
    async def after_panics() -> int:
        panics = [_Testing.panic_bridge(str(number)) for number in range(10 * bridge_workers())]
        ends = await asyncio.gather(*panics, return_exceptions=True)
        assert [str(end) for end in ends] == [f"a worker panicked: {number}" for number in range(len(panics))]
        return await countdown_bridge(5)

    assert asyncio.run(after_panics()) == 5


def test_as_many_countdowns_run_at_once_as_there_are_workers() -> None:
    async def at_once(workers: int) -> bool:
        counting = [countdown_bridge(FOR_EVER) for _ in range(workers)]
        seen = becomes_true(lambda: threads_at_work() == workers)
        for future in counting:
            future.cancel()
        await asyncio.wait(counting)
        return seen

    assert asyncio.run(at_once(bridge_workers()))
    more = bridge_workers() + 1
    assert bridge_workers(at_least=more) == more
    assert asyncio.run(at_once(more))


def test_the_limit_of_workers_never_goes_down() -> None:
    assert bridge_workers(at_least=0) == bridge_workers()
    with pytest.raises(OverflowError):
        bridge_workers(at_least=-1)


def test_the_loop_runs_while_it_counts() -> None:
    async def cancelled_by_the_loop() -> bool:
        counting = countdown_bridge(FOR_EVER)
        asyncio.get_running_loop().call_later(0.01, counting.cancel)  # nothing else ends the countdown
        await asyncio.wait([counting])
        return counting.cancelled()

    assert asyncio.run(cancelled_by_the_loop())


def test_ctrl_c_ends_the_loop_and_stops_the_native_work() -> None:
    async def interrupted() -> None:
        asyncio.get_running_loop().call_later(0.01, signal.raise_signal, signal.SIGINT)
        await countdown_bridge(FOR_EVER)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(interrupted())
    assert becomes_idle()


def test_a_loop_in_debug_mode_logs_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="asyncio"):
        assert asyncio.run(several_at_once(), debug=True) == list(range(100))
    assert [record for record in caplog.records if "took" not in record.getMessage()] == []


@on_every_loop
def test_a_burst_of_results_is_settled_over_many_turns(loop: Loop) -> None:
    results = 20_000

    async def settled_by_turn() -> list[int]:
        counting = [countdown_bridge(0) for _ in range(results)]
        assert becomes_idle()  # all results are in the queue
        settled, by_turn = 0, []
        while settled < results:
            await asyncio.sleep(0)
            now = sum(future.done() for future in counting)
            by_turn.append(now - settled)
            settled = now
        return by_turn

    by_turn = run(settled_by_turn(), loop)
    assert max(by_turn) < results / 4
