"""What a scraper gets adds up, at whatever interval it comes."""

from __future__ import annotations

import time
from ctypes import PyDLL

import pytest
from gilscope.watch.api import Watch

prometheus_client = pytest.importorskip("prometheus_client")


def test_the_load_of_the_gil_is_right_at_any_interval() -> None:
    from gilscope.prometheus import WatchCollector

    registry = prometheus_client.CollectorRegistry()
    with Watch() as watch:
        registry.register(WatchCollector(watch))

        def scrape() -> tuple[float, float]:
            samples = {sample.name: sample.value for metric in registry.collect() for sample in metric.samples}
            return samples["gilscope_gil_held_seconds_total"], samples["gilscope_elapsed_seconds_total"]

        time.sleep(0.05)
        for interval in (0.05, 0.3):
            held, elapsed = scrape()
            PyDLL(None).usleep(int(interval * 1e6))
            then_held, then_elapsed = scrape()
            assert 0.7 < (then_held - held) / (then_elapsed - elapsed) <= 1.0 + 1e-9


def test_every_cause_is_there_from_the_start() -> None:
    from gilscope.prometheus import WatchCollector

    with Watch() as watch:
        pass
    registry = prometheus_client.CollectorRegistry()
    registry.register(WatchCollector(watch))
    assert registry.get_sample_value("gilscope_loop_stalls_total", {"cause": "starved by a hog"}) == 0
    assert registry.get_sample_value("gilscope_loop_lag_seconds_count") == 0
    assert registry.get_sample_value("gilscope_gil_wait_seconds_bucket", {"le": "+Inf"}) is not None
