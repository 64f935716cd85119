"""Watches as they would be seen, to show: stalls with a line each, beats and holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilscope.records.stall import Evidence, Frame, Stall, Thread
from gilscope.records.watch_report import Distribution, Holder, Snapshot, WatchReport
from gilscope.watch.bins import Hold, LoopLag, binned
from gilscope.watch.sites import Sites

from tests.support.constructed import MACHINE

if TYPE_CHECKING:
    from gilscope.records.stall import Cause

MAIN, POOL = Thread(1, "MainThread"), Thread(2, "pool_0")
MAX_BEATS = 1000
NOTHING = Evidence(
    sampled=0.0,
    unsampled=0.0,
    held=0.0,
    collected=0.0,
    waited=0.0,
    slept=0.0,
    ran_without_gil=0.0,
    unknown=0.0,
    ran=None,
    queued=None,
    switches=0,
    prober_waited=None,
    stacks_age=None,
    contenders=(),
)


def stall(cause: Cause, start: float, duration: float, *, function: str = "report", line: int = 41) -> Stall:
    """Return a stall that began at ``start``, by a line of a thread of a pool."""
    culprit = Frame("/srv/server.py", line, function)
    return Stall(
        loop=1,
        thread=MAIN,
        start=start,
        duration=duration,
        noticed=start,
        noticed_holder=POOL,
        cause=cause,
        culprit=culprit,
        culprit_thread=POOL,
        stack=(culprit,),
        callback=Frame("/srv/server.py", 90, "serve"),
        task="Task-7",
        coroutine="serve",
        loop_stack=(),
        evidence=NOTHING,
    )


def distribution(*values: float) -> Distribution:
    p50, longest = (sorted(values)[len(values) // 2], max(values)) if values else (None, None)
    return Distribution(
        count=len(values),
        total=sum(values),
        p50=p50,
        p90=longest,
        p99=longest,
        max=longest,
        up_to=((10.0, len(values)),),
    )


def watched(
    *stalls: Stall, elapsed: float = 4.0, command: tuple[str, ...] = ("server.py",), **changed: Any
) -> WatchReport:
    """Return the watch of a loop that ran all the time with a lag of 1 ms but for ``stalls``, in which the pool had the GIL."""
    sites = Sites()
    for one in stalls:
        sites.add(one)
    period = max(0.01, elapsed / MAX_BEATS)
    lags = [LoopLag(period * beat, 0.001) for beat in range(1, round(elapsed / period))]
    lags = [beat for beat in lags if not any(one.start < beat.at <= one.end for one in stalls)]
    lags = sorted([*lags, *(LoopLag(one.end, one.duration) for one in stalls)])
    holds = [Hold(POOL.native_id, POOL.name, one.start, one.end) for one in stalls] or [
        Hold(MAIN.native_id, MAIN.name, 0.0, 0.1)
    ]
    held = sum(end - start for *_, start, end in holds)
    snapshot: dict[str, Any] = {
        "elapsed": elapsed,
        "samples": 1000,
        "held": held,
        "held_by": (Holder(holds[0].native_id, str(holds[0].name), held),),
        "waited": 0.0,
        "waits": distribution(0.001),
        "lags": distribution(*(lag for _, lag in lags)),
        "stalled": sites.stalled(),
        "stalls": sites.stalls(),
        "sites": sites.ranked(),
        "worst": sites.worst(),
        "collected": 0.0,
        "cost": 0.19,
        "lost": 0,
        "children": 0,
        "loops_with_own_clock": 0,
        "gil_unreadable": None,
    }
    fields: dict[str, Any] = {
        "version": "0.1.0",
        "created": "2026-01-02T03:04:05+00:00",
        "machine": MACHINE,
        "command": command,
        "stall": 0.05,
        "snapshot": Snapshot(**snapshot),
        "timeline": binned(lags=lags, holds=holds, end=elapsed),
    }
    return WatchReport(**{**fields, **changed})
