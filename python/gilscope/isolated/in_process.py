"""Run a trial in the caller's process, for what cannot be sent to another: on a thread with a loop of its own.

That works inside a running loop (a notebook), and needs no ``if __name__ == "__main__"`` in a script. Nothing supervises
it: a call that never ends never ends.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    T = TypeVar("T")

POLL = 0.1
"""Seconds between two reports of the time that has passed: each takes the GIL for a moment."""


class Ended(Exception):  # noqa: N818 - it is how the work ended, which is no error of ours
    """The work raised what ends a program or a task (``SystemExit``, say): it is no request to whoever waits."""


def run(work: Callable[[], Coroutine[Any, Any, T]], waiting: Callable[[float], None] | None = None) -> T:
    """Return what the coroutine that ``work()`` makes returns; an exception that it raises comes out here.

    What it raises that is no ``Exception`` comes out as :class:`Ended`, so that it is told from what the waiting raises.

    An exception in the calling thread (Ctrl-C, say) cancels the coroutine before it comes out.
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
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller's thread
            failure.append(error)
        finally:
            done.set()

    threading.Thread(target=on_a_loop_of_its_own, name="gilscope trial", daemon=True).start()
    passed = 0.0
    try:
        while not done.wait(POLL):
            passed += POLL
            if waiting is not None:
                waiting(passed)
    except BaseException:
        for loop, task in started:
            loop.call_soon_threadsafe(task.cancel)
        raise
    if failure and not isinstance(failure[0], Exception):
        raise Ended(told(failure[0])) from failure[0]
    if failure:
        raise failure[0]
    return answer[0]


def told(error: BaseException) -> str:
    """Return the type and the text of what was raised, as the last line of a traceback has them."""
    if isinstance(error, Ended):
        return str(error)
    return f"{type(error).__name__}: {error}".rstrip(": ")
