"""Where the work runs: one protocol, one table.

A strategy is an asynchronous context manager. Entering it starts and warms up every worker; it yields what runs a call on
those workers. A strategy's start-up cost is the time that entering it takes.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from gilscope.countdown import CALLS_BEFORE_SPECIALIZING
from gilscope.isolated.search_path import search

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from concurrent.futures import Executor
    from contextlib import AbstractAsyncContextManager

WARM_UP_TASK_SECONDS = 0.005
"""Long enough that warm-up tasks overlap, so that one worker cannot take two of them while another takes none."""
WARM_UP_TIMEOUT_SECONDS = 30.0
NO_NEW_WORKER_SECONDS = 1.0
"""If a user's executor has started no new worker for this long, assume that it has started all of them."""


class Run(Protocol):
    """Runs a call where the strategy runs calls: ``await run(function, *args)``."""

    def __call__(self, function: Callable[..., Any], /, *args: Any) -> Awaitable[Any]: ...


class Strategy(Protocol):
    """Starts ``workers`` workers that have imported ``function``, and yields a :class:`Run`."""

    def __call__(self, function: Callable[..., Any], workers: int) -> AbstractAsyncContextManager[Run]: ...


@asynccontextmanager
async def inline(function: Callable[..., Any], workers: int) -> AsyncIterator[Run]:  # noqa: ARG001
    """Call the function in the coroutine, on the event loop's thread."""

    async def run(function: Callable[..., Any], /, *args: Any) -> Any:
        return function(*args)

    yield run


@asynccontextmanager
async def awaited(function: Callable[..., Any], workers: int) -> AsyncIterator[Run]:
    """Await what the function returns: a coroutine, or a future that another thread completes."""
    for _ in range(CALLS_BEFORE_SPECIALIZING):
        await asyncio.gather(*(function(1) for _ in range(workers)))

    def run(function: Callable[..., Any], /, *args: Any) -> Any:
        return function(*args)

    yield run


@asynccontextmanager
async def bridge(function: Callable[..., Any], workers: int) -> AsyncIterator[Run]:
    """Await a future of the bridge, whose threads never attach; ensure that it has ``workers`` threads at least."""
    from gilscope._core import bridge_workers

    bridge_workers(at_least=workers)
    async with awaited(function, workers) as run:
        yield run


@asynccontextmanager
async def thread(function: Callable[..., Any], workers: int) -> AsyncIterator[Run]:
    """``loop.run_in_executor`` on a ``ThreadPoolExecutor``."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers) as pool:
        yield await _warmed_up(pool, function, workers)


@asynccontextmanager
async def process(function: Callable[..., Any], workers: int) -> AsyncIterator[Run]:
    """``loop.run_in_executor`` on a ``ProcessPoolExecutor`` of spawned processes."""
    from concurrent.futures import ProcessPoolExecutor

    from gilscope.isolated.supervise import die_with_parent
    from gilscope.trial.spawn import WorkerContext

    with ProcessPoolExecutor(workers, mp_context=WorkerContext(), initializer=die_with_parent) as pool:
        yield await _warmed_up(pool, function, workers)


@asynccontextmanager
async def interpreter(function: Callable[..., Any], workers: int) -> AsyncIterator[Run]:
    """``loop.run_in_executor`` on an ``InterpreterPoolExecutor``: threads that each have an interpreter and a GIL."""
    from concurrent import futures

    pool: Executor = futures.InterpreterPoolExecutor(  # type: ignore[attr-defined,unused-ignore]
        workers, initializer=search, initargs=(list(sys.path),)
    )
    with pool:
        yield await _warmed_up(pool, function, workers)


class FactoryError(Exception):
    """A factory of executors returned no executor; the text says what it did instead."""


def from_executor(factory: Callable[[int], Executor]) -> Strategy:
    """Return the strategy that runs calls on ``factory(workers)``, any object with the interface of an executor.

    The executor may have fewer workers than ``workers``.
    """

    @asynccontextmanager
    async def executor(function: Callable[..., Any], workers: int) -> AsyncIterator[Run]:
        with _made(factory, workers) as pool:
            yield await _warmed_up(pool, function, workers, patience=NO_NEW_WORKER_SECONDS)

    return executor


STRATEGIES: dict[str, Strategy] = {
    "inline": inline,
    "cooperative": awaited,
    "thread": thread,
    "process": process,
    "interpreter": interpreter,
    "tokio": awaited,
    "bridge": bridge,
}

STAMPED_STRATEGIES: tuple[Strategy, ...] = (inline, thread, process, interpreter)
"""The strategies whose workers can import gilscope, so that a call can be stamped where it runs."""

DEFAULT_STRATEGIES = ("inline", "thread", "process", "interpreter")
"""What a comparison tries by default: the strategies that take any callable."""


def unavailable(strategy: str) -> str:
    """Return why this Python cannot run ``strategy``, or an empty string if it can."""
    if strategy == "interpreter" and sys.version_info < (3, 14):
        return "needs InterpreterPoolExecutor, which Python has from 3.14 on"
    return ""


def _made(factory: Callable[[int], Executor], workers: int) -> Executor:
    try:
        made = factory(workers)
    except Exception as error:
        raise FactoryError(f"its factory, called with {workers}, raised {type(error).__name__}: {error}") from error
    if not callable(getattr(made, "submit", None)) or not hasattr(made, "__exit__"):
        raise FactoryError(
            f"its factory, called with {workers}, returned {made!r:.60}, which is not an executor; return one, such as "
            "concurrent.futures.ThreadPoolExecutor(workers)"
        )
    return made


async def _warmed_up(
    pool: Executor, function: Callable[..., Any], workers: int, *, patience: float | None = None
) -> Run:
    """Have every worker of ``pool`` start and import what ``function`` needs; return what runs a call there.

    Without ``patience``, all ``workers`` workers must start. With it, stop waiting when no new worker has started for
    that many seconds.
    """
    loop = asyncio.get_running_loop()
    seen: set[tuple[int, int]] = set()
    began = newest = time.monotonic()
    while len(seen) < workers:
        now = time.monotonic()
        if patience is not None and seen and now - newest > patience:
            break
        if now - began > WARM_UP_TIMEOUT_SECONDS:
            raise TimeoutError(f"{len(seen)} of {workers} workers started within {WARM_UP_TIMEOUT_SECONDS:g} s")
        started = await asyncio.gather(*(loop.run_in_executor(pool, _warm_up, function) for _ in range(workers)))
        if not seen.issuperset(started):
            seen.update(started)
            newest = time.monotonic()
    return partial(loop.run_in_executor, pool)


def _warm_up(function: Callable[..., Any]) -> tuple[int, int]:
    """Return the process and thread that this runs in. To unpickle ``function``, the worker has imported its module."""
    assert callable(function)  # noqa: S101
    time.sleep(WARM_UP_TASK_SECONDS)
    return os.getpid(), threading.get_ident()
