"""Run a coroutine in the caller's process, for what cannot be sent to another: on a thread with an event loop of its own.

That also works inside a running event loop (a notebook), and needs no ``if __name__ == "__main__"`` in a script. Nothing
supervises the coroutine: no time limit ends it.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    T = TypeVar("T")

POLL_SECONDS = 0.1
"""Seconds between two reports of the time that has passed. Each report takes the GIL for a moment."""


class ExitRaised(Exception):  # noqa: N818 - it says how the coroutine ended, and is not an error of ours
    """The coroutine raised an exception that is not an ``Exception``, such as ``SystemExit``; the text describes it."""


def run(work: Callable[[], Coroutine[Any, Any, T]], waiting: Callable[[float], None] | None = None) -> T:
    """Return what the coroutine that ``work()`` makes returns, and raise the ``Exception`` that it raises.

    If it raises anything else (``SystemExit``), raise :class:`ExitRaised`, so that the caller does not take it for its
    own. ``waiting`` is called with the seconds since the start. An exception in the calling thread (Ctrl-C) cancels the
    coroutine.
    """
    answer: list[T] = []
    failure: list[BaseException] = []
    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []
    done = threading.Event()

    async def noted() -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        started.append((asyncio.get_running_loop(), task))
        answer.append(await work())

    def on_a_loop_of_its_own() -> None:
        try:
            asyncio.run(noted())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            failure.append(error)
        finally:
            done.set()

    threading.Thread(target=on_a_loop_of_its_own, name="gilscope trial", daemon=True).start()
    passed = 0.0
    try:
        while not done.wait(POLL_SECONDS):
            passed += POLL_SECONDS
            if waiting is not None:
                waiting(passed)
    except BaseException:
        for loop, task in started:
            loop.call_soon_threadsafe(task.cancel)
        raise
    if failure and not isinstance(failure[0], Exception):
        raise ExitRaised(described(failure[0])) from failure[0]
    if failure:
        raise failure[0]
    return answer[0]


def described(error: BaseException) -> str:
    """Return the type and the text of an exception, as the last line of a traceback has them."""
    if isinstance(error, ExitRaised):
        return str(error)
    return f"{type(error).__name__}: {error}".rstrip(": ")
