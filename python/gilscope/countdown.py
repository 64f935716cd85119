"""The CPU-bound kernels in Python, which work in every interpreter.

Importing this module does not import the native core, which subinterpreters cannot load. It does not import asyncio
either: that costs each new interpreter tens of milliseconds, and makes CPython 3.12 abort at exit if the interpreter is
an isolated one.
"""

from __future__ import annotations

from operator import index
from typing import SupportsIndex

LARGEST_COUNT = 2**64 - 1


def countdown_python(n: SupportsIndex) -> int:
    """Count ``n`` down to 0 in Python: the article's ``blocking_task``.

    CPython releases the GIL every switch interval if another thread waits for it. Returns the number of decrements. Raises
    ``TypeError`` if ``n`` is not an integer and ``ValueError`` outside 0 to 2**64-1, as the native kernels do.
    """
    counter = started = _count(n)
    while counter > 0:
        counter -= 1
    return started - counter


async def countdown_cooperative(n: SupportsIndex, every: SupportsIndex = 1000) -> int:
    """Count ``n`` down to 0 in Python, and give control to the event loop after every ``every`` steps.

    This is the article's closing hint. Returns and raises the same as ``countdown_python``. ``every`` must be at least
    1.
    """
    import asyncio

    if not hasattr(type(every), "__index__"):
        raise TypeError(f"every must be an integer of at least 1, not {type(every).__name__}")
    steps = index(every)
    if steps < 1:
        raise ValueError("every must be at least 1")
    counter = started = _count(n)
    while counter > 0:
        counter -= 1
        if counter % steps == 0:
            await asyncio.sleep(0)
    return started - counter


def _count(n: SupportsIndex) -> int:
    if not hasattr(type(n), "__index__"):
        raise TypeError(f"n must be an integer from 0 to 2**64-1, not {type(n).__name__}")
    count = index(n)
    if not 0 <= count <= LARGEST_COUNT:
        raise ValueError("n must be from 0 to 2**64-1")
    return count


CALLS_BEFORE_SPECIALIZING = 8
"""CPython 3.11 specializes a function in its eighth call, because a ``while`` loop does not count (``_PyCode_Warmup``)."""

for _ in range(
    CALLS_BEFORE_SPECIALIZING
):  # the first tasks of each worker would otherwise run at two thirds of the speed
    countdown_python(1)
