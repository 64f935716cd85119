"""When the garbage collector ran, so that a long hold can be explained by a collection."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gilscope._core import GcListener

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope.checks.knocks import Wait

MIN_PAUSE_SECONDS = 0.0005
"""A shorter collection makes no long hold."""


@contextmanager
def recorded_pauses() -> Iterator[GcListener]:
    """Record the collections while the context is open."""
    collections = GcListener(keep_from=MIN_PAUSE_SECONDS)
    try:
        gc.callbacks.append(collections)
        yield collections
    finally:
        if collections in gc.callbacks:
            gc.callbacks.remove(collections)


def explain(collections: GcListener, wait: Wait) -> bool:
    """Return whether collections took more than half of ``wait``."""
    overlaps = (min(wait.end, end) - max(wait.start, begin) for begin, end in collections.pauses())
    return sum(overlap for overlap in overlaps if overlap > 0) > (wait.end - wait.start) / 2
