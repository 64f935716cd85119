"""A watch as metrics for Prometheus. Requires ``pip install gilscope[prometheus]``.

    from prometheus_client import REGISTRY
    from gilscope.prometheus import WatchCollector

    watch = gilscope.Watch()
    watch.start()
    REGISTRY.register(WatchCollector(watch))

The metrics are counters and histograms that begin when the watch starts. One counter, ``elapsed``, is the time that the
others cover, so that a rate is correct at any scrape interval. The share of time in which the GIL was held is
``rate(gilscope_gil_held_seconds_total[1m]) / rate(gilscope_elapsed_seconds_total[1m])``.
"""

from __future__ import annotations

import logging
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, get_args

from gilscope.records.stall import Cause
from gilscope.watch.snapshots import empty

try:
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        InfoMetricFamily,
    )
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImportError("gilscope.prometheus needs prometheus_client: pip install 'gilscope[prometheus]'") from error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import Metric

    from gilscope.records.watch_report import Distribution, Holder, Snapshot
    from gilscope.watch.api import Watch

log = logging.getLogger("gilscope")

MAX_THREAD_SERIES = 20
OTHER_THREADS = "other"
NUMBERS = re.compile(r"\d+(?:[-_.]\d+)*")
PER_ELAPSED = "Divide its rate by the rate of gilscope_elapsed_seconds_total"
GIL_WAIT = (
    "Seconds that a thread waits for the GIL if it asks at a random moment. The rate of _sum divided by the rate of _count is "
    "the mean wait."
)
HEARTBEAT_LAG = (
    "Seconds by which heartbeats of the event loops came late: so late is a timer that is due at a random moment. A stall "
    "delays many heartbeats, and each counts: _sum is not the stalled time. The rate of _sum divided by the rate of _count is "
    "the mean lag."
)


class WatchCollector(Collector):
    """Takes a snapshot of ``watch`` at each scrape: all metrics of a scrape are of one moment.

    Before the watch has started, all counters are 0. In a forked child, which the watch does not watch, and if the watch
    cannot be read, a scrape has only its threshold and the versions.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._threads = ThreadSeries()

    def describe(self) -> Iterator[Metric]:
        """Yield every metric: a registry asks for their names when the collector is registered."""
        return self._metrics(empty())

    def collect(self) -> Iterator[Metric]:
        yield _threshold(self._watch.stall)
        if (seen := self._snapshot()) is None:
            yield _info(None)
        else:
            yield from self._metrics(seen)

    def _snapshot(self) -> Snapshot | None:
        try:
            return self._watch.snapshot()
        except RuntimeError:
            return None  # a forked child
        except Exception:
            log.exception("gilscope cannot take a snapshot for Prometheus")
            return None

    def _metrics(self, seen: Snapshot) -> Iterator[Metric]:
        yield _info(seen.gil_unreadable)
        yield _readable(seen)
        yield _counter(
            "elapsed", "Seconds that all other counters cover: divide their rates by its rate.", seen.elapsed
        )
        yield _counter("gil_held", f"Seconds that the GIL was held. {PER_ELAPSED}: the share of time.", seen.held)
        yield self._threads.metric(seen.held_by if seen.held is not None else ())
        yield _counter("gc", f"Seconds in the garbage collector. {PER_ELAPSED}: the share of time.", seen.collected)
        yield _counter("watch_cost", f"CPU seconds that the watch itself used. {PER_ELAPSED}: cores.", seen.cost)
        yield _counter(
            "loop_busy",
            "Seconds that the event loops were not asleep in their selectors, all loops together. Divide its rate by the sum of "
            "its rate and that of gilscope_loop_asleep_seconds_total: the mean utilization.",
            sum(loop.busy for loop in seen.loops),
        )
        yield _counter(
            "loop_asleep",
            "Seconds that the event loops were asleep in their selectors, all loops together. Divide the rate of "
            "gilscope_loop_busy_seconds_total by the sum of both rates.",
            sum(loop.asleep for loop in seen.loops),
        )
        yield from _stalls(seen)
        yield _histogram("gil_wait", GIL_WAIT, seen.waits)
        yield _histogram("loop_heartbeat_lag", HEARTBEAT_LAG, seen.lags)


class ThreadSeries:
    """The time that each group of threads held the GIL: a bounded number of series, each of which only grows.

    Threads whose names differ in their numbers are one group: ``asyncio_0`` and ``asyncio_1`` are ``asyncio_*``. A group
    keeps its series once it has one; the groups that come when all are taken are added up as ``other``.
    """

    def __init__(self) -> None:
        self._named: set[str] = set()

    def metric(self, holders: Iterable[Holder]) -> CounterMetricFamily:
        metric = CounterMetricFamily(
            "gilscope_gil_held_by_thread_seconds",
            "Seconds that the GIL was held, by thread name with * for its numbers. Divide its rate by the rate of "
            "gilscope_gil_held_seconds_total: the thread's share of the held time.",
            labels=["thread"],
        )
        held: dict[str, float] = {}
        for holder in holders:
            group = NUMBERS.sub("*", holder.thread.encode(errors="backslashreplace").decode())
            held[group] = held.get(group, 0.0) + holder.held
        series: dict[str, float] = {}
        for group in sorted(held, key=lambda group: -held[group]):
            name = self._series_of(group)
            series[name] = series.get(name, 0.0) + held[group]
        for name, value in series.items():
            metric.add_metric([name], value)
        return metric

    def _series_of(self, group: str) -> str:
        if group not in self._named and len(self._named) < MAX_THREAD_SERIES - 1:
            self._named.add(group)
        return group if group in self._named else OTHER_THREADS


def label(cause: Cause) -> str:
    """Return a cause as the value of a label: ``blocked_waiting``."""
    return "_".join(re.findall(r"\w+", cause.lower()))


def _info(gil_unreadable: str | None) -> InfoMetricFamily:
    about = {"version": _version(), "python": platform.python_version()}
    return InfoMetricFamily(
        "gilscope",
        "The versions of gilscope and Python, and why the holder of the GIL cannot be read.",
        value=about if gil_unreadable is None else {**about, "gil_unreadable": gil_unreadable},
    )


def _version() -> str:
    try:
        return version("gilscope")
    except PackageNotFoundError:  # an executable file that was packed without metadata
        return "unknown"


def _threshold(seconds: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "gilscope_loop_stall_threshold_seconds",
        "An event loop that is late by more seconds than this is stalled.",
        value=seconds,
    )


def _readable(seen: Snapshot) -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "gilscope_gil_readable",
        "1 if the holder of the GIL can be read. If 0, gilscope_gil_held has no samples, and a hog's thread is unknown. "
        "There is no sample before the watch has started.",
        value=float(seen.gil_unreadable is None) if seen.elapsed else None,
    )


def _counter(name: str, description: str, value: float | None) -> CounterMetricFamily:
    return CounterMetricFamily(f"gilscope_{name}_seconds", description, value=value)


def _stalls(seen: Snapshot) -> Iterator[CounterMetricFamily]:
    stalled = CounterMetricFamily(
        "gilscope_loop_stalled_seconds",
        f"Seconds that the event loops were stalled, by cause. {PER_ELAPSED}: the share of time (the sum over all loops).",
        labels=["cause"],
    )
    stalls = CounterMetricFamily(
        "gilscope_loop_stalls",
        f"Stalls of the event loops, by cause. {PER_ELAPSED}: stalls per second. Divide the rate of "
        "gilscope_loop_stalled_seconds_total by its rate: the mean length.",
        labels=["cause"],
    )
    for cause in get_args(Cause):
        stalled.add_metric([label(cause)], seen.stalled.get(cause, 0.0))
        stalls.add_metric([label(cause)], seen.stalls.get(cause, 0))
    yield stalled
    yield stalls


def _histogram(name: str, description: str, of: Distribution) -> HistogramMetricFamily:
    buckets = [(f"{bound:g}", float(count)) for bound, count in of.up_to]
    return HistogramMetricFamily(
        f"gilscope_{name}_seconds", description, buckets=[*buckets, ("+Inf", float(of.count))], sum_value=of.total
    )
