"""The kernels in Python, for every interpreter.

Importing this module imports neither the native core, which subinterpreters cannot load, nor asyncio, which costs each
new interpreter tens of milliseconds (and CPython 3.12 its life: it aborts at exit if an isolated one has imported it).
"""

from __future__ import annotations

from operator import index
from typing import SupportsIndex

LARGEST_COUNT = 2**64 - 1


def countdown_python(n: SupportsIndex) -> int:
    """Count ``n`` down to 0 in Python: the article's ``blocking_task``.

    The GIL is given up every switch interval, if another thread asks for it. Returns the number of decrements. Raises
    what the native kernels raise: ``TypeError`` for what is not an integer, ``ValueError`` outside 0 to 2**64-1.
    """
    counter = started = _count(n)
    while counter > 0:
        counter -= 1
    return started - counter


async def countdown_cooperative(n: SupportsIndex, every: SupportsIndex = 1000) -> int:
    """Count ``n`` down to 0 in Python, and hand control to the event loop after each ``every`` steps.

    The article's closing hint. Returns and raises what :func:`countdown_python` does; ``every`` must be at least 1.
    """
    import asyncio

    if not hasattr(type(every), "__index__"):
        raise TypeError(f"every must be an integer from 1 on, not {type(every).__name__}")
    steps = index(every)
    if steps < 1:
        raise ValueError("every must be at least 1 step")
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
