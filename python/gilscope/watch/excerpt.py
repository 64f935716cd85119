"""The report on the last minutes of a watch."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, cast

from gilscope._core import VERSION, monotonic, recent, recent_trace
from gilscope.naming import escaped
from gilscope.records.machine import machine
from gilscope.records.timeline import Timeline, Track
from gilscope.records.watch_report import Excerpt, Snapshot, Unreadable, WatchReport
from gilscope.watch.bins import MAX_BINS, MAX_THREADS, MIN_SECONDS_PER_BIN, distinct, thread_name
from gilscope.watch.loop_time import times
from gilscope.watch.sites import Sites
from gilscope.watch.snapshots import distribution, holders

if TYPE_CHECKING:
    from gilscope._core import Recent, Watcher
    from gilscope.watch.recent_stalls import RecentStalls

Reason = Literal["call", "signal", "stall"]


class Trace(NamedTuple):
    """Single beats and holds, packed: see ``gilscope._core.trace_after``."""

    beats: bytes
    holds: bytes
    names: dict[int, str]
    began: float


class Source(Protocol):
    """What an excerpt is taken from: one run of a watch."""

    recent_stalls: RecentStalls

    @property
    def threshold(self) -> float:
        """A loop that is late by this many seconds is stalled."""

    def watcher(self) -> Watcher:
        """Return the native half."""

    def others(self) -> dict[str, Any]:
        """Return the fields of a snapshot that the native half does not have."""


def excerpt(source: Source, *, since: float, reason: Reason) -> WatchReport:
    """Return the report from ``since``, on the clock of ``time.monotonic``, up to now."""
    watcher = source.watcher()
    seen = recent(watcher, since=since, max_bins=MAX_BINS, seconds_per_bin=MIN_SECONDS_PER_BIN, max_tracks=MAX_THREADS)
    began = watcher.began
    begin, end = max(0.0, seen.begin - began), max(0.0, seen.end - began)
    now, at = monotonic(), datetime.now(UTC)
    ended = datetime.fromtimestamp(at.timestamp() - (now - seen.end), UTC)
    return WatchReport(
        version=VERSION,
        created=at.isoformat(timespec="seconds"),
        machine=machine(),
        command=command(),
        stall=source.threshold,
        snapshot=_snapshot(watcher, seen, source.recent_stalls, begin, source.others()),
        timeline=_timeline(seen, begin),
        excerpt=Excerpt(begin=begin, end=end, ended=ended.isoformat(timespec="milliseconds"), reason=reason),
    )


def trace(watcher: Watcher, report: WatchReport) -> Trace:
    """Return the single beats and holds of the time that ``report`` covers."""
    begin = report.excerpt.begin if report.excerpt else 0.0
    beats, holds, names = recent_trace(watcher, since=watcher.began + begin)
    return Trace(beats, holds, dict(names), watcher.began)


def command() -> tuple[str, ...]:
    """Return the command line of this process."""
    return tuple(escaped(word) for word in sys.orig_argv[1:]) or ("this process",)


def _snapshot(watcher: Watcher, seen: Recent, stalls: RecentStalls, begin: float, others: dict[str, Any]) -> Snapshot:
    kept, dropped = stalls.since(begin)
    sites = Sites()
    for stall in kept:
        sites.add(stall)
    waits = distribution(seen.waits)
    unreadable = cast("Unreadable | None", watcher.gil_unreadable)
    return Snapshot(
        elapsed=seen.end - seen.begin,
        samples=seen.samples,
        held=seen.held if unreadable is None else None,
        held_by=holders(seen.held_by),
        waited=waits.total,
        waits=waits,
        lags=distribution(seen.lags),
        stalled=sites.stalled(),
        stalls=sites.stalls(),
        sites=sites.ranked(),
        worst=tuple(sorted(kept, key=lambda stall: -stall.duration)),
        collected=seen.collected,
        cost=seen.cost,
        lost=seen.lost + dropped,
        gil_unreadable=unreadable,
        stacks_unreadable=cast("Unreadable | None", watcher.stacks_unreadable),
        system_calls_hidden=watcher.system_calls_hidden,
        loops=times(seen.loops),
        **{**others, "before_loops": 0.0},
    )


def _timeline(seen: Recent, begin: float) -> Timeline:
    names = distinct({thread.native_id: thread_name(thread.native_id, thread.name) for thread, _ in seen.tracks})
    return Timeline(
        begin=begin,
        width=seen.width,
        worst=tuple(None if lag is None else round(lag, 6) for lag in seen.worst),
        held=tuple(
            Track(names[thread.native_id], tuple(round(part, 6) for part in held)) for thread, held in seen.tracks
        ),
    )
