"""Programs that stall a loop in a known way, and what may be told of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from ctypes import PyDLL
from typing import TYPE_CHECKING, Any

import pytest
from gilscope.watch.api import Watch

if TYPE_CHECKING:
    from gilscope.records.stall import Cause, Stall

LONG = 0.3
"""Six times the threshold: what happens beside it on a busy machine is shorter."""

Main = Callable[[], Coroutine[Any, Any, None]]
Run = Callable[[Main], None]


def hold() -> None:
    PyDLL(None).usleep(int(LONG * 1e6))


def nap() -> None:
    time.sleep(LONG)


def run_asyncio(main: Main) -> None:
    asyncio.run(main())


def run_uvloop(main: Main) -> None:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def in_coroutine(function: Callable[[], object]) -> Main:
    async def main() -> None:
        await asyncio.sleep(0.05)
        function()
        await asyncio.sleep(0.05)

    return main


def in_pool(function: Callable[[], object]) -> Main:
    async def main() -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="pool") as pool:
            await asyncio.sleep(0.05)
            await asyncio.get_running_loop().run_in_executor(pool, function)
            await asyncio.sleep(0.05)

    return main


def stalls(run: Run, main: Main, **options: Any) -> list[Stall]:
    """Stall a loop three times, and return what is told of it."""

    async def thrice() -> None:
        for _ in range(3):
            await main()

    with Watch(**options) as watch:
        run(thrice)
    return [stall for stall in watch.snapshot().worst if stall.duration > LONG / 2]


def seen(stall: Stall) -> tuple[Cause, str | None]:
    return stall.cause, stall.culprit.function if stall.culprit else None


def the(cause: Cause, function: str | None, told: list[Stall]) -> Stall:
    """Return the stall that has this cause and this line; there may be others, but never with a wrong one of either.

    On a machine that is busy enough nobody of ours is run for as long as the stall lasts, and that is what is told then.
    """
    possible = {(cause, function), (cause, None), ("no CPU", None), ("unknown", None)}
    assert {seen(stall) for stall in told} <= possible
    return next(stall for stall in told if seen(stall) == (cause, function))
