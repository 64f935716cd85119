"""A stall in one line, for ``gilscope watch --live``: without rich, which the watched program may not have loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.formatting import duration
from gilscope.naming import place_of

if TYPE_CHECKING:
    from gilscope.records.stall import Stall


def line(stall: Stall) -> str:
    """Return when ``stall``, which is over, began, its length, its cause and the line of its culprit."""
    where = f" at {place_of(stall.culprit)}" if stall.culprit else ""
    thread = f" (thread {stall.culprit_thread})" if stall.culprit_thread else ""
    return (
        f"gilscope: {stall.start:8.2f} s: stalled for {duration(stall.duration)} in all: {stall.cause}{where}{thread}"
    )
