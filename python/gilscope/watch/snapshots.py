"""What the native watcher counted, as records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.records.watch_report import BOUNDS, Distribution, Share
from gilscope.watch.bins import thread_name

if TYPE_CHECKING:
    from gilscope import _core


def distribution(histogram: _core.Histogram) -> Distribution:
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


def shares(held_by: list[tuple[int, str | None, float]]) -> tuple[Share, ...]:
    named = (Share(native_id, thread_name(native_id, name), held) for native_id, name, held in held_by)
    return tuple(sorted(named, key=lambda share: -share.held))
