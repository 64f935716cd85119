"""A watch as metrics for Prometheus. Requires ``pip install gilscope[prometheus]``.

    from prometheus_client import REGISTRY
    from gilscope.prometheus import WatchCollector

    watch = gilscope.Watch()
    watch.start()
    REGISTRY.register(WatchCollector(watch))

The metrics are counters of seconds since the watch began. One of them, ``elapsed``, is the time that the others cover, so
that a rate is correct at any scrape interval. The share of time in which the GIL was held is
``rate(gilscope_gil_held_seconds_total[1m]) / rate(gilscope_elapsed_seconds_total[1m])``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from gilscope.records.stall import Cause

try:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImportError("gilscope.prometheus needs prometheus_client: pip install 'gilscope[prometheus]'") from error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from gilscope.records.watch_report import Distribution, Snapshot
    from gilscope.watch.api import Watch


class WatchCollector(Collector):
    """Takes a snapshot of ``watch`` at each scrape: all metrics of a scrape are of one moment."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def collect(self) -> Iterator[Metric]:
        seen = self._watch.snapshot()
        yield _counter("elapsed", "Seconds that the other counters cover.", seen.elapsed)
        if seen.held is not None:
            yield _counter("gil_held", "Seconds that the GIL was held.", seen.held)
            yield _by_thread(seen)
        yield _counter("gc", "Seconds in the garbage collector.", seen.collected)
        yield _counter("watch_cost", "CPU seconds that the watch itself used.", seen.cost)
        yield from _stalls(seen)
        yield _histogram("gil_wait", "How long a thread waits that asks for the GIL at random moments.", seen.waits)
        yield _histogram("loop_lag", "How late the event loops were.", seen.lags)


def _counter(name: str, description: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"gilscope_{name}_seconds", description, value=value)


def _by_thread(seen: Snapshot) -> CounterMetricFamily:
    metric = CounterMetricFamily(
        "gilscope_gil_held_by_thread_seconds", "Seconds that the GIL was held, by thread name.", labels=["thread"]
    )
    held: dict[str, float] = {}
    for holder in seen.held_by:
        held[holder.thread] = held.get(holder.thread, 0.0) + holder.held
    for thread, value in held.items():
        metric.add_metric([thread], value)
    return metric


def _stalls(seen: Snapshot) -> Iterator[CounterMetricFamily]:
    stalled = CounterMetricFamily(
        "gilscope_loop_stalled_seconds", "Seconds that the event loops were stalled, by cause.", labels=["cause"]
    )
    stalls = CounterMetricFamily("gilscope_loop_stalls", "Stalls of the event loops, by cause.", labels=["cause"])
    for cause in get_args(Cause):
        stalled.add_metric([cause], seen.stalled.get(cause, 0.0))
        stalls.add_metric([cause], seen.stalls.get(cause, 0))
    yield stalled
    yield stalls


def _histogram(name: str, description: str, of: Distribution) -> HistogramMetricFamily:
    buckets = [(f"{bound:g}", float(count)) for bound, count in of.up_to]
    return HistogramMetricFamily(
        f"gilscope_{name}_seconds", description, buckets=[*buckets, ("+Inf", float(of.count))], sum_value=of.total
    )
