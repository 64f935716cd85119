"""Where the work runs: one protocol, one table.

A strategy is an asynchronous context manager. Entering it starts its workers and warms every one of them; inside, the
value it gives runs a call there. A strategy's cost of starting is the time that entering takes.
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

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from concurrent.futures import Executor
    from contextlib import AbstractAsyncContextManager

WARM_TASK = 0.005
"""Seconds that a warming task lasts, so that tasks overlap and no worker can take two while another takes none."""
WARM_LIMIT = 30.0
"""Seconds until a pool whose workers do not come up is given up."""
WARM_PATIENCE = 1.0
"""Seconds without a new worker after which somebody else's executor has as many as it will have."""


class Run(Protocol):
    """Runs a call where the strategy runs calls: ``await run(function, *args)``."""

    def __call__(self, function: Callable[..., Any], /, *args: Any) -> Awaitable[Any]: ...


class Strategy(Protocol):
    """Starts ``workers`` workers that know ``function``, and yields what runs it there."""

    def __call__(self, function: Callable[..., Any], workers: int) -> AbstractAsyncContextManager[Run]: ...


@asynccontextmanager
async def inline(function: Callable[..., Any], workers: int) -> AsyncIterator[Run]:  # noqa: ARG001
    """Call it in the coroutine, on the loop's own thread."""

    async def run(function: Callable[..., Any], /, *args: Any) -> Any:
        return function(*args)

    yield run


@asynccontextmanager
async def awaited(function: Callable[..., Any], workers: int) -> AsyncIterator[Run]:
    """Await what it returns: it is a coroutine, or a future that somebody else completes."""
    await asyncio.gather(*(function(1) for _ in range(workers)))

    def run(function: Callable[..., Any], /, *args: Any) -> Any:
        return function(*args)

    yield run


@asynccontextmanager
async def bridge(function: Callable[..., Any], workers: int) -> AsyncIterator[Run]:
    """Await the bridge's future: its threads never attach, and are at least as many as are asked for."""
    from gilscope._core import bridge_workers

    bridge_workers(at_least=workers)
    async with awaited(function, workers) as run:
        yield run


@asynccontextmanager
async def thread(function: Callable[..., Any], workers: int) -> AsyncIterator[Run]:
    """``loop.run_in_executor`` on a ``ThreadPoolExecutor``."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers) as pool:
        yield await _warmed(pool, function, workers)


@asynccontextmanager
async def process(function: Callable[..., Any], workers: int) -> AsyncIterator[Run]:
    """``loop.run_in_executor`` on a ``ProcessPoolExecutor`` of spawned processes."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    from gilscope.isolated.supervise import die_with_parent

    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads is a gamble
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=die_with_parent) as pool:
        yield await _warmed(pool, function, workers)


@asynccontextmanager
async def interpreter(function: Callable[..., Any], workers: int) -> AsyncIterator[Run]:
    """``loop.run_in_executor`` on an ``InterpreterPoolExecutor``: threads with an interpreter, and a GIL, each."""
    from concurrent import futures

    pool: Executor = futures.InterpreterPoolExecutor(  # type: ignore[attr-defined,unused-ignore]
        workers, initializer=_search, initargs=tuple(sys.path)
    )
    with pool:
        yield await _warmed(pool, function, workers)


class FactoryError(Exception):
    """A factory of executors made none; the text says what it did instead."""


def from_executor(factory: Callable[[int], Executor]) -> Strategy:
    """Return the strategy that runs calls on ``factory(workers)``, an executor of any make.

    It may have fewer workers than asked for: those that come up are used.
    """

    @asynccontextmanager
    async def executor(function: Callable[..., Any], workers: int) -> AsyncIterator[Run]:
        with _made(factory, workers) as pool:
            yield await _warmed(pool, function, workers, patience=WARM_PATIENCE)

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

IN_OUR_WORKERS: tuple[Strategy, ...] = (inline, thread, process, interpreter)
"""Those that run the call where gilscope can be imported, so that it can be stamped where it runs."""

OF_COMPARISON = ("inline", "thread", "process", "interpreter")
"""Those that take any callable."""


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
            f"its factory, called with {workers}, returned no executor but {made!r:.60}: have it return one, as "
            "concurrent.futures.ThreadPoolExecutor(workers)"
        )
    return made


async def _warmed(pool: Executor, function: Callable[..., Any], workers: int, *, patience: float | None = None) -> Run:
    """Have every worker of ``pool`` start and import what ``function`` needs; return what runs a call there.

    Without ``patience`` all of ``workers`` must come up; with it, as many as do until that long none is new.
    """
    loop = asyncio.get_running_loop()
    seen: set[tuple[int, int]] = set()
    began = news = time.monotonic()
    while len(seen) < workers:
        now = time.monotonic()
        if patience is not None and seen and now - news > patience:
            break
        if now - began > WARM_LIMIT:
            raise TimeoutError(f"{len(seen)} of {workers} workers started within {WARM_LIMIT:g} s")
        came = await asyncio.gather(*(loop.run_in_executor(pool, _warm, function) for _ in range(workers)))
        if not seen.issuperset(came):
            seen.update(came)
            news = time.monotonic()
    return partial(loop.run_in_executor, pool)


def _search(*path: str) -> None:
    """Have this interpreter find the modules that its parent finds: a child's path need not be what it started with."""
    sys.path[:] = path


def _warm(function: Callable[..., Any]) -> tuple[int, int]:
    """Return who ran this. That ``function`` arrived means that its module is imported here."""
    assert callable(function)  # noqa: S101
    time.sleep(WARM_TASK)
    return os.getpid(), threading.get_ident()
