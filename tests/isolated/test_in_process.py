import asyncio
import threading

import pytest
from gilscope.isolated import in_process


async def answer() -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


def test_the_work_runs_on_a_loop_of_its_own_inside_a_running_loop() -> None:
    async def in_a_notebook() -> str:
        return in_process.run(answer)

    assert asyncio.run(in_a_notebook()) == "gilscope trial"


def test_an_exception_in_the_work_is_raised_in_the_caller() -> None:
    async def fails() -> None:
        raise LookupError("as it is")

    with pytest.raises(LookupError, match="as it is"):
        in_process.run(fails)


def test_an_exception_in_the_caller_cancels_the_work() -> None:
    cancelled = threading.Event()

    async def goes_on() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    def ctrl_c(_passed: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_process.run(goes_on, ctrl_c)
    assert cancelled.wait(10)


def test_the_time_that_has_passed_is_reported_meanwhile() -> None:
    reported: list[float] = []

    async def takes_a_moment() -> None:
        while len(reported) < 2:  # noqa: ASYNC110 - nothing signals that the caller's clock went on
            await asyncio.sleep(0.01)

    in_process.run(takes_a_moment, reported.append)
    assert reported == sorted(reported)
