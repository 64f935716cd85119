"""Where the work runs: one protocol, one table.

A strategy is an asynchronous context manager. Entering it starts its workers and warms every one of them; inside, the
value it gives is called to run the work once. A strategy's cost of starting is the time that entering takes.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from concurrent.futures import Executor
    from contextlib import AbstractAsyncContextManager

WARM_TASK = 0.005
"""Seconds that a warming task lasts, so that tasks overlap and no worker can take two while another takes none."""
WARM_LIMIT = 30.0
"""Seconds until a pool whose workers do not come up is given up."""


class Call(Protocol):
    """Runs the work once: ``await call(*args)``."""

    def __call__(self, *args: Any) -> Awaitable[Any]: ...


class Strategy(Protocol):
    """Starts ``workers`` workers for ``function`` and yields what calls it there."""

    def __call__(self, function: Callable[..., Any], workers: int) -> AbstractAsyncContextManager[Call]: ...


@asynccontextmanager
async def inline(function: Callable[..., Any], workers: int) -> AsyncIterator[Call]:  # noqa: ARG001
    """Call it in the coroutine, on the loop's own thread."""

    async def call(*args: Any) -> Any:
        return function(*args)

    yield call


@asynccontextmanager
async def awaited(function: Callable[..., Any], workers: int) -> AsyncIterator[Call]:
    """Await what it returns: it is a coroutine, or a future that somebody else completes."""
    await asyncio.gather(*(function(1) for _ in range(workers)))
    yield function


@asynccontextmanager
async def bridge(function: Callable[..., Any], workers: int) -> AsyncIterator[Call]:
    """Await the bridge's future: its threads never attach, and are at least as many as are asked for."""
    from gilscope._core import bridge_workers

    bridge_workers(at_least=workers)
    async with awaited(function, workers) as call:
        yield call


@asynccontextmanager
async def thread(function: Callable[..., Any], workers: int) -> AsyncIterator[Call]:
    """``loop.run_in_executor`` on a ``ThreadPoolExecutor``."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers) as pool:
        yield await _warmed(pool, function, workers)


@asynccontextmanager
async def process(function: Callable[..., Any], workers: int) -> AsyncIterator[Call]:
    """``loop.run_in_executor`` on a ``ProcessPoolExecutor`` of spawned processes."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    from gilscope.supervise import die_with_parent

    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads is a gamble
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=die_with_parent) as pool:
        yield await _warmed(pool, function, workers)


@asynccontextmanager
async def interpreter(function: Callable[..., Any], workers: int) -> AsyncIterator[Call]:
    """``loop.run_in_executor`` on an ``InterpreterPoolExecutor``: threads with an interpreter, and a GIL, each."""
    from concurrent import futures

    pool: Executor = futures.InterpreterPoolExecutor(workers)  # type: ignore[attr-defined,unused-ignore]
    with pool:
        yield await _warmed(pool, function, workers)


STRATEGIES: dict[str, Strategy] = {
    "inline": inline,
    "cooperative": awaited,
    "thread": thread,
    "process": process,
    "interpreter": interpreter,
    "tokio": awaited,
    "bridge": bridge,
}


def unavailable(strategy: str) -> str:
    """Return why this Python cannot run ``strategy``, or an empty string if it can."""
    if strategy == "interpreter" and sys.version_info < (3, 14):
        return "needs InterpreterPoolExecutor, which Python has from 3.14 on"
    return ""


async def _warmed(pool: Executor, function: Callable[..., Any], workers: int) -> Call:
    """Have every worker of ``pool`` start and import what ``function`` needs; return what runs the function there."""
    loop = asyncio.get_running_loop()
    seen: set[tuple[int, int]] = set()
    deadline = time.monotonic() + WARM_LIMIT
    while len(seen) < workers:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(seen)} of {workers} workers started within {WARM_LIMIT:g} s")
        seen |= set(await asyncio.gather(*(loop.run_in_executor(pool, _warm, function) for _ in range(workers))))

    def call(*args: Any) -> Awaitable[Any]:
        return loop.run_in_executor(pool, function, *args)

    return call


def _warm(function: Callable[..., Any]) -> tuple[int, int]:
    """Return who ran this. That ``function`` arrived means that its module is imported here."""
    assert callable(function)  # noqa: S101
    time.sleep(WARM_TASK)
    return os.getpid(), threading.get_ident()
