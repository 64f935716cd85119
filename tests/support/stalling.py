"""Programs that stall a loop in a known way, and what a watch may report of them."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from ctypes import PyDLL
from typing import TYPE_CHECKING, Any

import pytest
from gilscope.watch.api import Watch

if TYPE_CHECKING:
    from gilscope.records.stall import Cause, Stall

LONG = 0.2
"""Four times the threshold: stalls by other programs on a busy machine are shorter."""
SHORT = 0.02
REPEATS = 2
MIN_SHARE_RIGHT = 1 / 2
MAX_TIMES = 3
MAX_SECONDS_WITHOUT_CPU = LONG / 10

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
        await asyncio.sleep(SHORT)
        function()
        await asyncio.sleep(SHORT)

    return main


def in_pool(function: Callable[[], object]) -> Main:
    pool = _started_pool()

    async def main() -> None:
        await asyncio.sleep(SHORT)
        await asyncio.get_running_loop().run_in_executor(pool, function)
        await asyncio.sleep(SHORT)

    return main


@functools.cache
def _started_pool() -> ThreadPoolExecutor:
    """Start the pool's thread before a loop runs: on a busy machine a loop that starts a thread waits for it, and stalls."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="pool")
    pool.submit(int).result()
    return pool


def stalls(run: Run, main: Main, **options: Any) -> list[Stall]:
    """Stall a loop twice, and return the stalls that were reported, each of which must be there."""

    async def again_and_again() -> None:
        for _ in range(REPEATS):
            await main()

    def watched() -> list[Stall]:
        with Watch(**options) as watch:
            run(again_and_again)
        reported = [stall for stall in watch.snapshot().worst if stall.duration > LONG / 2]
        assert len(reported) >= REPEATS
        return reported

    return undisturbed(watched)


def undisturbed(watched: Callable[[], list[Stall]]) -> list[Stall]:
    """Return what was reported when nothing else took the CPU; after the third time, whatever was reported then."""
    for _ in range(MAX_TIMES - 1):
        reported = watched()
        if not any(map(lacked_cpu, reported)):
            return reported
    return watched()


def lacked_cpu(stall: Stall) -> bool:
    return stall.cause == "no CPU" or any(
        part.cause == "no CPU" and part.seconds > MAX_SECONDS_WITHOUT_CPU for part in stall.parts
    )


def seen(stall: Stall) -> tuple[Cause, str | None]:
    return stall.cause, stall.culprit.function if stall.culprit else None


def the(cause: Cause, function: str | None, reported: list[Stall]) -> Stall:
    """Return the first stall with this cause and this line, which half of them must have, and none a wrong one of either.

    The others may have no line, or may be put down to a machine that gave this process no CPU time: another program runs
    when it likes.
    """
    right = [stall for stall in reported if seen(stall) == (cause, function)]
    others = {seen(stall) for stall in reported} - {(cause, function)}
    assert others <= {(cause, None), ("no CPU", None), ("unknown", None)}
    assert len(right) >= MIN_SHARE_RIGHT * len(reported) > 0, [seen(stall) for stall in reported]
    return right[0]
