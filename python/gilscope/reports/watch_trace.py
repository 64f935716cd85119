"""A watch as a trace for https://ui.perfetto.dev: a track for each thread that held the GIL, the stalls, and the loop's lag.

The format is Chrome's trace events as JSON: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gilscope.records.stall import Stall
    from gilscope.watch.bins import Hold, LoopLag

FIRST_LOOP_TRACK = 1_000_000_000
"""Above all thread ids, which number the tracks of threads."""
EVENTS_AT_ONCE = 1000
"""Encoding keeps the GIL. A trace may be written while the program runs, so it is encoded in pieces of less than a millisecond."""


def trace(*, pid: int, holds: Iterable[Hold], stalls: Sequence[Stall], lags: Iterable[LoopLag]) -> bytes:
    """Return the trace of the process ``pid``. All times are in seconds since the watch began."""
    events = ({**event, "pid": pid} for event in chain(_holds(holds), _stalls(stalls), _lags(lags)))
    pieces = []
    while piece := list(islice(events, EVENTS_AT_ONCE)):
        pieces.append(msgspec.json.encode(piece)[1:-1])
    return b'{"traceEvents":[%b],"displayTimeUnit":"ms"}' % b",".join(pieces)


def _holds(holds: Iterable[Hold]) -> Iterator[dict[str, Any]]:
    names = {native_id: name or f"thread {native_id}" for native_id, name, _, _ in holds}
    for native_id, name in names.items():
        yield _track(native_id, f"GIL: {name}" if native_id else "GIL: unknown thread")
    for native_id, _, start, end in holds:
        yield _slice(native_id, "holds the GIL", start, end, {})


def _stalls(stalls: Sequence[Stall]) -> Iterator[dict[str, Any]]:
    for loop in sorted({stall.loop for stall in stalls}):
        yield _track(FIRST_LOOP_TRACK + loop, f"stalls of loop {loop}")
    for stall in stalls:
        details = {
            "culprit": str(stall.culprit),
            "thread": str(stall.culprit_thread),
            "callback": str(stall.callback),
            "task": stall.task,
            "stack": [str(frame) for frame in stall.stack],
        }
        yield _slice(FIRST_LOOP_TRACK + stall.loop, stall.cause, stall.start, stall.end, details)


def _lags(lags: Iterable[LoopLag]) -> Iterator[dict[str, Any]]:
    for at, lag in lags:
        yield {"name": "lag (ms)", "ph": "C", "ts": at * 1e6, "args": {"lag": lag * 1000}}


def _track(number: int, name: str) -> dict[str, Any]:
    return {"name": "thread_name", "ph": "M", "tid": number, "args": {"name": name}}


def _slice(track: int, name: str, start: float, end: float, details: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "ph": "X",
        "ts": start * 1e6,
        "dur": (end - start) * 1e6,
        "tid": track,
        "args": details,
    }
