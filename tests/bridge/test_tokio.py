"""The awaitables on tokio: futures like any other, whose work ends when nobody wants it any more."""

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
from tests.support.bridging import FOR_EVER, PATIENCE, threads_at_work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def until_at_work(expected: Callable[[int], bool]) -> int:
    """Wait until the number of threads at work is as expected, and return it; give up after a while."""
    give_up = time.monotonic() + PATIENCE
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


def test_it_can_be_waited_for_with_a_limit_that_it_keeps() -> None:
    async def waited() -> int:
        return await asyncio.wait_for(countdown_tokio(5), PATIENCE)

    assert asyncio.run(waited()) == 5


def test_ensure_future_and_shield_take_it() -> None:
    async def ensured() -> tuple[bool, int]:
        counting = countdown_tokio(5)
        return asyncio.ensure_future(counting) is counting, await asyncio.shield(counting)

    assert asyncio.run(ensured()) == (True, 5)


def test_cancelling_the_future_ends_the_native_work() -> None:
    async def cancel(counting: asyncio.Future[int]) -> None:
        counting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await counting

    assert asyncio.run(is_stopped_by(cancel))


def test_cancelling_the_task_that_awaits_ends_the_native_work() -> None:
    async def cancel(counting: asyncio.Future[int]) -> None:
        async def awaiting() -> int:
            return await counting

        task = asyncio.create_task(awaiting())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert asyncio.run(is_stopped_by(cancel))


def test_a_time_out_ends_the_native_work() -> None:
    async def time_out(counting: asyncio.Future[int]) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(counting, 0.001)

    assert asyncio.run(is_stopped_by(time_out))


def test_the_loop_runs_while_it_counts() -> None:
    async def cancelled_by_the_loop() -> bool:
        counting = countdown_tokio(FOR_EVER)
        asyncio.get_running_loop().call_later(0.01, counting.cancel)  # the only way to the end
        await asyncio.wait([counting])
        return counting.cancelled()

    assert asyncio.run(cancelled_by_the_loop())


def test_ctrl_c_ends_the_loop_and_the_native_work() -> None:
    async def interrupted() -> None:
        asyncio.get_running_loop().call_later(0.01, signal.raise_signal, signal.SIGINT)
        await countdown_tokio(FOR_EVER)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(interrupted())
    assert asyncio.run(until_at_work(lambda at_work: at_work == 0)) == 0


def test_it_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        countdown_tokio(5)


def test_loops_may_come_and_go() -> None:
    for _ in range(50):
        assert asyncio.run(several_at_once()) == list(range(100))


def test_uvloop_runs_it() -> None:
    for _ in range(10):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            assert runner.run(several_at_once()) == list(range(100))


def test_loops_in_several_threads_run_it_at_once() -> None:
    results: list[list[int]] = []
    threads = [threading.Thread(target=lambda: results.append(asyncio.run(several_at_once()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [list(range(100))] * 8


@pytest.mark.parametrize("loop", ["asyncio.new_event_loop()", "__import__('uvloop').new_event_loop()"])
def test_a_loop_that_is_closed_before_the_result_arrives_is_no_error_of_anyone(loop: str) -> None:
    script = f"""
        import asyncio, time
        from gilscope import countdown_tokio

        async def forgotten():
            return [countdown_tokio(200_000) for _ in range(20)]

        for _ in range(20):
            loop = {loop}
            loop.run_until_complete(forgotten())
            loop.close()
        time.sleep(0.1)  # deliveries to closed loops go on meanwhile
        print("done")
    """
    assert child.output(script) == ["done"]


def test_the_child_of_a_fork_has_a_tokio_of_its_own() -> None:
    script = """
        import asyncio, os, warnings
        from gilscope import countdown_tokio

        async def counted(n):
            return await asyncio.wait_for(countdown_tokio(n), 30)

        warnings.simplefilter("ignore", DeprecationWarning)  # a fork with threads, which is what is tried here
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

        atexit.register(lambda: asyncio.run(late()))  # runs after what was registered later
        from gilscope import countdown_tokio

        async def early():
            print(await countdown_tokio(3))

        asyncio.run(early())
    """
    assert child.output(script) == ["3", "countdown_tokio cannot start: the interpreter is shutting down"]
