"""The histogram agrees with a complete list of the durations."""

from __future__ import annotations

import math
import threading

import pytest
from gilscope._core import Histogram
from hypothesis import given
from hypothesis import strategies as st

DAY = 86_400.0
A_NANOSECOND = 1e-9
durations = st.floats(0, DAY)
some_durations = st.lists(durations, min_size=1, max_size=50)
shares = st.floats(0, 1)


def histogram_of(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def quantile_of(values: list[float], q: float) -> float:
    """Return the smallest value that a share ``q`` of the values do not exceed."""
    return sorted(values)[max(math.ceil(q * len(values)), 1) - 1]


def quantile(histogram: Histogram, q: float) -> float:
    value = histogram.quantile(q)
    assert value is not None
    return value


@given(values=some_durations, q=shares)
def test_a_quantile_differs_from_that_of_the_list_by_at_most_0_1_percent(values: list[float], q: float) -> None:
    expected = quantile_of(values, q)
    assert quantile(histogram_of(values), q) == pytest.approx(expected, rel=1e-3, abs=A_NANOSECOND)


@given(values=some_durations, one=shares, other=shares)
def test_quantiles_grow_with_their_share(values: list[float], one: float, other: float) -> None:
    histogram = histogram_of(values)
    assert quantile(histogram, min(one, other)) <= quantile(histogram, max(one, other))


@given(period=st.floats(0.001, 10), periods=st.floats(0, 60), values=st.lists(durations, max_size=5), q=shares)
def test_a_schedule_counts_each_tick_that_was_due(period: float, periods: float, values: list[float], q: float) -> None:
    longest = period * periods
    histogram = histogram_of(values)
    counted = histogram.record_schedule(longest, period)
    longest_ns, period_ns = (
        round(longest * 1e9),
        round(period * 1e9),
    )  # in whole nanoseconds, as Rust counts: 3 * 0.1 is 0.3
    due = [late / 1e9 for late in range(longest_ns, -1, -period_ns)]
    assert (counted, len(histogram)) == (len(due), len(due) + len(values))
    expected = quantile_of(due + values, q)
    assert quantile(histogram, q) == pytest.approx(expected, rel=1e-3, abs=A_NANOSECOND)


def test_a_loop_that_was_blocked_for_a_second_missed_all_ticks_of_that_second() -> None:
    histogram = Histogram()
    assert histogram.record_schedule(1.0, 0.01) == 101  # 1.0, 0.99 .. 0.01, 0.0 late
    assert quantile(histogram, 0.5) == pytest.approx(0.5, rel=1e-3)


def test_an_empty_histogram_has_no_quantile() -> None:
    histogram = Histogram()
    assert (len(histogram), histogram.quantile(0.5)) == (0, None)


@given(early=st.floats(max_value=0, allow_infinity=False))
def test_a_negative_duration_counts_as_zero(early: float) -> None:
    histogram = histogram_of([early])
    assert (histogram.record_schedule(early, 1.0), len(histogram)) == (1, 2)
    assert histogram.quantile(1.0) == 0


@given(longer=st.floats(DAY, allow_infinity=False))
def test_a_duration_longer_than_a_day_counts_as_a_day(longer: float) -> None:
    assert quantile(histogram_of([longer]), 1.0) == pytest.approx(DAY, rel=1e-3)


@pytest.mark.parametrize("duration", [math.nan, math.inf, -math.inf])
def test_a_duration_that_is_not_finite_is_a_value_error(duration: float) -> None:
    histogram = Histogram()
    with pytest.raises(ValueError, match="finite number of seconds"):
        histogram.record(duration)
    with pytest.raises(ValueError, match="finite number of seconds"):
        histogram.record_schedule(duration, 1.0)
    with pytest.raises(ValueError, match="finite number of seconds"):
        histogram.record_schedule(1.0, duration)
    assert len(histogram) == 0


@pytest.mark.parametrize("period", [0.0, -1.0, 1e-10])
def test_a_period_shorter_than_a_nanosecond_is_a_value_error(period: float) -> None:
    histogram = Histogram()
    with pytest.raises(ValueError, match="period must be at least a nanosecond"):
        histogram.record_schedule(1.0, period)
    assert len(histogram) == 0


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_a_share_outside_0_to_1_is_a_value_error(q: float) -> None:
    with pytest.raises(ValueError, match="q must be from 0 to 1"):
        histogram_of([1.0]).quantile(q)


def test_threads_may_share_a_histogram() -> None:
    histogram = Histogram()

    def record() -> None:
        for _ in range(5_000):
            histogram.record(0.001)

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(histogram) == 20_000
