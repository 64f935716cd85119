"""Records of the native watcher's sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilscope._core import Histogram
from gilscope.records.watch_report import BOUNDS, Distribution, Holder, Snapshot
from gilscope.watch.bins import thread_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilscope._core import ThreadInfo, WatchTotals
    from gilscope.watch.sites import Sites


HISTOGRAM_ERROR = 1.01
"""A histogram may show a lag as larger by this factor."""


def lag_not_judged(seen: Snapshot, threshold: float) -> float | None:
    """Return the longest lag if it was a stall, which it is from the threshold on, and no stall of that length was recorded."""
    longest = seen.lags.max
    recorded = max([threshold, *(stall.duration for stall in seen.worst[:1])])
    return longest if longest and longest > HISTOGRAM_ERROR * recorded else None


def distribution(histogram: Histogram) -> Distribution:
    p50, p90, p99, longest = (histogram.quantile(q) for q in (0.5, 0.9, 0.99, 1.0))
    return Distribution(
        count=len(histogram),
        total=histogram.total(),
        p50=p50,
        p90=p90,
        p99=p99,
        max=longest,
        up_to=tuple(zip(BOUNDS, histogram.counts_up_to(list(BOUNDS)), strict=True)),
    )


def holders(held_by: Iterable[tuple[ThreadInfo, float]]) -> tuple[Holder, ...]:
    """Return how long each thread held the GIL, the longest holder first."""
    named = (Holder(thread.native_id, thread_name(thread.native_id, thread.name), held) for thread, held in held_by)
    return tuple(sorted(named, key=lambda holder: -holder.held))


def snapshot_of(totals: WatchTotals, sites: Sites, *, unrecorded: int, **others: Any) -> Snapshot:
    """Return the snapshot of the native sums and the sites of the stalls, with the fields of ``others``.

    ``unrecorded`` stalls could not be judged.
    """
    waits = distribution(totals.waits)
    fields: dict[str, Any] = {
        "elapsed": totals.elapsed,
        "samples": totals.samples,
        "held": totals.held,
        "held_by": holders(totals.held_by),
        "waited": waits.total,
        "waits": waits,
        "lags": distribution(totals.lags),
        "stalled": sites.stalled(),
        "stalls": sites.stalls(),
        "sites": sites.ranked(),
        "worst": sites.worst(),
        "collected": totals.collected,
        "cost": totals.cost,
        "lost": totals.lost + unrecorded,
        "log_dropped": totals.log_dropped,
    }
    return Snapshot(**{**fields, **others})


def empty(**seen: Any) -> Snapshot:
    """Return the snapshot of a watch whose native threads have not started, with the fields of ``seen``."""
    nothing = distribution(Histogram())
    fields: dict[str, Any] = {
        "elapsed": 0.0,
        "samples": 0,
        "held": 0.0,
        "held_by": (),
        "waited": 0.0,
        "waits": nothing,
        "lags": nothing,
        "stalled": {},
        "stalls": {},
        "sites": (),
        "worst": (),
        "collected": 0.0,
        "cost": 0.0,
        "lost": 0,
        "children": 0,
        "loop_runs": 0,
        "gil_unreadable": None,
    }
    return Snapshot(**{**fields, **seen})
