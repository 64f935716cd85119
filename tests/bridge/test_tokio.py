"""The futures of ``countdown_tokio`` behave like other asyncio futures, and cancelling one stops its native work."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest
import uvloop
from gilscope import countdown_tokio

from tests.support import child
from tests.support.bridging import FOR_EVER, SECONDS_TO_WAIT, threads_at_work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def until_at_work(expected: Callable[[int], bool]) -> int:
    """Wait until the number of tokio threads at work is as expected or the time is up, and return the number."""
    give_up = time.monotonic() + SECONDS_TO_WAIT
    while not expected(at_work := threads_at_work("gilscope-tokio")) and time.monotonic() < give_up:  # noqa: ASYNC110 - there is no event
        await asyncio.sleep(0.001)
    return at_work


async def is_stopped_by(stop: Callable[[asyncio.Future[int]], Awaitable[object]]) -> bool:
    counting = countdown_tokio(FOR_EVER)
    assert await until_at_work(lambda at_work: at_work > 0) > 0
    await stop(counting)
    return await until_at_work(lambda at_work: at_work == 0) == 0


async def several_at_once() -> list[int]:
    return await asyncio.gather(*map(countdown_tokio, range(100)))


def test_it_is_an_asyncio_future_of_the_running_loop() -> None:
    async def future() -> asyncio.Future[int]:
        counting = countdown_tokio(3)
        assert counting.get_loop() is asyncio.get_running_loop()
        await counting
        return counting

    assert isinstance(asyncio.run(future()), asyncio.Future)


def test_it_can_be_gathered() -> None:
    assert asyncio.run(several_at_once()) == list(range(100))


def test_wait_for_returns_its_result() -> None:
    async def waited() -> int:
        return await asyncio.wait_for(countdown_tokio(5), SECONDS_TO_WAIT)

    assert asyncio.run(waited()) == 5


def test_ensure_future_and_shield_accept_it() -> None:
    async def ensured() -> tuple[bool, int]:
        counting = countdown_tokio(5)
        return asyncio.ensure_future(counting) is counting, await asyncio.shield(counting)

    assert asyncio.run(ensured()) == (True, 5)


def test_cancelling_the_future_stops_the_native_work() -> None:
    async def cancel(counting: asyncio.Future[int]) -> None:
        counting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await counting

    assert asyncio.run(is_stopped_by(cancel))


def test_cancelling_the_awaiting_task_stops_the_native_work() -> None:
    async def cancel(counting: asyncio.Future[int]) -> None:
        async def awaiting() -> int:
            return await counting

        task = asyncio.create_task(awaiting())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert asyncio.run(is_stopped_by(cancel))


def test_a_timeout_stops_the_native_work() -> None:
    async def let_time_out(counting: asyncio.Future[int]) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(counting, 0.001)

    assert asyncio.run(is_stopped_by(let_time_out))


def test_the_loop_runs_while_it_counts() -> None:
    async def cancelled_by_the_loop() -> bool:
        counting = countdown_tokio(FOR_EVER)
        asyncio.get_running_loop().call_later(0.01, counting.cancel)  # nothing else ends the countdown
        await asyncio.wait([counting])
        return counting.cancelled()

    assert asyncio.run(cancelled_by_the_loop())


def test_ctrl_c_ends_the_loop_and_stops_the_native_work() -> None:
    async def interrupted() -> None:
        asyncio.get_running_loop().call_later(0.01, signal.raise_signal, signal.SIGINT)
        await countdown_tokio(FOR_EVER)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(interrupted())
    assert asyncio.run(until_at_work(lambda at_work: at_work == 0)) == 0


def test_it_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        countdown_tokio(5)


def test_many_loops_can_run_one_after_another() -> None:
    for _ in range(50):
        assert asyncio.run(several_at_once()) == list(range(100))


def test_it_works_on_uvloop() -> None:
    for _ in range(10):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            assert runner.run(several_at_once()) == list(range(100))


def test_loops_in_several_threads_run_at_once() -> None:
    results: list[list[int]] = []
    threads = [threading.Thread(target=lambda: results.append(asyncio.run(several_at_once()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [list(range(100))] * 8


@pytest.mark.parametrize("loop", ["asyncio.new_event_loop()", "__import__('uvloop').new_event_loop()"])
def test_a_result_for_a_closed_loop_is_dropped_without_an_error(loop: str) -> None:
    script = f"""
        import asyncio, time
        from gilscope import countdown_tokio

        async def forgotten():
            return [countdown_tokio(200_000) for _ in range(20)]

        for _ in range(20):
            loop = {loop}
            loop.run_until_complete(forgotten())
            loop.close()
        time.sleep(0.1)  # meanwhile tokio delivers results to the closed loops
        print("done")
    """
    assert child.output(script) == ["done"]


def test_a_forked_child_gets_its_own_tokio_runtime() -> None:
    script = """
        import asyncio, os, warnings
        from gilscope import countdown_tokio

        async def counted(n):
            return await asyncio.wait_for(countdown_tokio(n), 30)

        warnings.simplefilter("ignore", DeprecationWarning)  # about forking a process with threads, which is what this tests
        print(asyncio.run(counted(3)), flush=True)
        if (forked := os.fork()) == 0:
            print(asyncio.run(counted(4)), flush=True)
        else:
            print(os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]), asyncio.run(counted(5)))
    """
    assert child.output(script) == ["3", "4", "0 5"]


def test_nothing_starts_once_the_interpreter_shuts_down() -> None:
    script = """
        import asyncio, atexit

        async def late():
            try:
                await countdown_tokio(3)
            except RuntimeError as error:
                print(error)

        atexit.register(lambda: asyncio.run(late()))  # runs after the exit handlers that are registered later
        from gilscope import countdown_tokio

        async def early():
            print(await countdown_tokio(3))

        asyncio.run(early())
    """
    assert child.output(script) == ["3", "countdown_tokio cannot start: the interpreter is shutting down"]
