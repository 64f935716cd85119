"""Sentences on how a watched program ended, and on what was not watched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.formatting import duration
from gilscope.naming import place_of
from gilscope.records.ending import HANG_STATUS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope.records.ending import Ending


def ending(end: Ending | None) -> Iterator[str]:
    """Yield how the program ended, up to when the figures reach, and which stalls were not over."""
    if end is None:
        return
    if end.kind == "runs":
        yield "the program runs on; " + (
            f"the figures are {duration(end.unseen)} old" if end.unseen else "the watch has ended"
        )
    else:
        yield f"the program {what_happened(end)}" + (
            f"; the figures end {duration(end.unseen)} before that" if end.unseen else ""
        )
    for stall in end.stalls:
        unknown = "; its line is in the stacks above" if end.kind == "hang" else "; the line was not sampled"
        where = f" at {place_of(stall.culprit)}" if stall.culprit else unknown
        thread = f" (thread {stall.thread.removeprefix('thread ')})" if stall.thread else ""
        over = "is not over" if end.kind == "runs" else "was not over"
        yield f"one stall {over}: {duration(stall.so_far)} so far{where}{thread}"


def what_happened(end: Ending) -> str:
    """Return what the program did, as the rest of a sentence."""
    return {
        "signal": f"was ended by {end.signal}",
        "exit": f"exited with status {end.status} without running its exit handlers, as os._exit does",
        "exec": "replaced itself by another program, which is not watched",
        "unknown": "ended without running its exit handlers, as after a signal or os._exit",
        "runs": "runs on",
        "hang": f"was ended with status {HANG_STATUS} because an event loop hung",
    }[end.kind]
