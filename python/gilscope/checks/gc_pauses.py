"""When the garbage collector ran: a stretch that it makes is told as such."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gilscope._core import Collections

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope.checks.knocks import Wait

SHORTEST = 0.0005
"""A collection shorter than this (seconds) makes no stretch."""


@contextmanager
def noted() -> Iterator[Collections]:
    """Return the collections that are noted while the context is open."""
    collections = Collections(shortest=SHORTEST)
    try:
        gc.callbacks.append(collections)
        yield collections
    finally:
        if collections in gc.callbacks:
            gc.callbacks.remove(collections)


def made(collections: Collections, wait: Wait) -> bool:
    """Return whether collections took most of ``wait``."""
    overlaps = (min(wait.end, end) - max(wait.start, begin) for begin, end in collections.pauses())
    return sum(overlap for overlap in overlaps if overlap > 0) > (wait.end - wait.start) / 2
