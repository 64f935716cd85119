"""What a scraper gets adds up, at whatever interval it comes."""

from __future__ import annotations

import re
import time
from ctypes import PyDLL
from typing import TYPE_CHECKING, Any, cast, get_args

import pytest
from gilscope.records.stall import Cause
from gilscope.records.watch_report import Holder
from gilscope.watch.api import Watch
from gilscope.watch.snapshots import empty
from msgspec.structs import replace

from tests.support.busy import loop_time

if TYPE_CHECKING:
    from gilscope.records.watch_report import Snapshot

prometheus_client = pytest.importorskip("prometheus_client")

from gilscope.prometheus import ThreadSeries, WatchCollector, label  # noqa: E402 - without it they do not load


class Frozen:
    """Stands for a watch that has seen ``seen``, or whose snapshot raises it."""

    stall = 0.05

    def __init__(self, seen: Snapshot | Exception) -> None:
        self.seen = seen

    def snapshot(self) -> Snapshot:
        if isinstance(self.seen, Exception):
            raise self.seen
        return self.seen


def scraped(watch: Any) -> Any:
    registry = prometheus_client.CollectorRegistry(auto_describe=True)
    registry.register(WatchCollector(watch))
    return registry


def text(watch: Any) -> str:
    return cast("str", prometheus_client.generate_latest(scraped(watch)).decode())


def test_the_load_of_the_gil_is_right_at_any_interval() -> None:
    with Watch() as watch:
        registry = scraped(watch)

        def scrape() -> tuple[float, float]:
            samples = {sample.name: sample.value for metric in registry.collect() for sample in metric.samples}
            return samples["gilscope_gil_held_seconds_total"], samples["gilscope_elapsed_seconds_total"]

        time.sleep(0.05)
        for interval in (0.05, 0.3):
            held, elapsed = scrape()
            PyDLL(None).usleep(int(interval * 1e6))
            then_held, then_elapsed = scrape()
            assert 0.7 < (then_held - held) / (then_elapsed - elapsed) <= 1.0 + 1e-9


def test_the_loops_time_busy_and_asleep_is_added_up() -> None:
    both = (loop_time(3.0, 1.0), loop_time(0.5, 3.5, loop=2))
    registry = scraped(Frozen(replace(empty(), loops=both)))
    assert registry.get_sample_value("gilscope_loop_busy_seconds_total") == 3.5
    assert registry.get_sample_value("gilscope_loop_asleep_seconds_total") == 4.5


def test_every_cause_is_there_from_the_start_as_one_word() -> None:
    registry = scraped(Frozen(empty()))
    assert registry.get_sample_value("gilscope_loop_stalls_total", {"cause": "blocked_waiting"}) == 0
    assert registry.get_sample_value("gilscope_loop_stalled_seconds_total", {"cause": "starved_by_a_hog"}) == 0
    assert registry.get_sample_value("gilscope_loop_heartbeat_lag_seconds_count") == 0
    assert registry.get_sample_value("gilscope_gil_wait_seconds_bucket", {"le": "+Inf"}) == 0
    labels = [label(cause) for cause in get_args(Cause)]
    assert all(re.fullmatch("[a-z_]+", name) for name in labels)
    assert len(set(labels)) == len(labels)


def test_each_stall_counts_under_its_cause() -> None:
    registry = scraped(Frozen(empty(stalls={"blocked, waiting": 3}, stalled={"blocked, waiting": 1.5})))
    assert registry.get_sample_value("gilscope_loop_stalls_total", {"cause": "blocked_waiting"}) == 3
    assert registry.get_sample_value("gilscope_loop_stalled_seconds_total", {"cause": "blocked_waiting"}) == 1.5


def test_the_settings_are_there_to_draw_and_to_explain() -> None:
    registry = scraped(Frozen(empty(elapsed=1.0)))
    assert registry.get_sample_value("gilscope_loop_stall_threshold_seconds") == 0.05
    assert registry.get_sample_value("gilscope_gil_readable") == 1
    assert re.search(r'^gilscope_info{python="3\.[^"]+",version="[^"]+"} 1\.0$', text(Frozen(empty())), re.MULTILINE)


def test_a_gil_that_cannot_be_read_has_no_figures_that_look_like_an_idle_gil() -> None:
    unread = Frozen(empty(elapsed=1.0, held=None, gil_unreadable="memory"))
    assert scraped(unread).get_sample_value("gilscope_gil_readable") == 0
    assert scraped(unread).get_sample_value("gilscope_gil_held_seconds_total") is None
    assert 'gil_unreadable="memory"' in text(unread)


@pytest.mark.parametrize(
    "error", [RuntimeError("this watch belongs to the parent process"), ValueError("a fault of ours")]
)
def test_a_watch_that_cannot_be_read_does_not_fail_the_scrape(error: Exception) -> None:
    registry = scraped(Frozen(error))
    prometheus_client.Counter("of_the_application", "Its own.", registry=registry).inc()
    assert registry.get_sample_value("of_the_application_total") == 1
    assert registry.get_sample_value("gilscope_loop_stall_threshold_seconds") == 0.05


def test_a_watch_can_be_registered_before_it_starts() -> None:
    registry = scraped(watch := Watch())
    assert registry.get_sample_value("gilscope_elapsed_seconds_total") == 0
    assert registry.get_sample_value("gilscope_gil_readable") is None  # nobody has looked yet
    with watch:
        time.sleep(0.05)
        assert registry.get_sample_value("gilscope_elapsed_seconds_total")
        assert registry.get_sample_value("gilscope_gil_readable") is not None
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(WatchCollector(watch))


def test_threads_whose_names_differ_in_numbers_are_one_series() -> None:
    names = ["asyncio_0", "asyncio_12", "ThreadPoolExecutor-0_3", "Thread-7 (load)", "thread 4711", "Main", "\udcff"]
    held = held_by(ThreadSeries(), [Holder(number, name, 1.0) for number, name in enumerate(names)])
    assert held == {
        "asyncio_*": 2.0,
        "ThreadPoolExecutor-*": 1.0,
        "Thread-* (load)": 1.0,
        "thread *": 1.0,
        "Main": 1.0,
        "\\udcff": 1.0,
    }


def test_there_are_at_most_20_series_and_none_of_them_ever_falls() -> None:
    series = ThreadSeries()
    names = [a + b for a in "abcdef" for b in "ghijk"]
    before: dict[str, float] = {}
    for step in range(1, 4):  # the threads that held the GIL least at first hold it most at the end
        threads = [Holder(number, name, step + (step - 1) * number) for number, name in enumerate(names)]
        held = held_by(series, threads)
        assert len(held) == 20
        assert sum(held.values()) == pytest.approx(sum(thread.held for thread in threads))
        assert all(held[name] >= value for name, value in before.items())
        before = held
    assert "other" in before


def held_by(series: ThreadSeries, threads: list[Holder]) -> dict[str, float]:
    return {sample.labels["thread"]: sample.value for sample in series.metric(threads).samples}


def test_each_metric_says_what_to_divide_by_what() -> None:
    told = dict(re.findall(r"^# HELP (\S+) (.*)$", text(Frozen(empty())), re.MULTILINE))
    for name, help_text in told.items():
        assert name.endswith(("_info", "_readable", "_threshold_seconds")) or "divide" in help_text.lower(), name
