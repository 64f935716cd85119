import asyncio
import math
from itertools import pairwise

import pytest
from gilscope.trial.ticker import MAX_BINS, TickBins, Ticker
from hypothesis import given
from hypothesis import strategies as st

PERIOD = 0.01


class Time:
    """A clock that moves only when somebody sleeps, and then ``delays`` too far: what a loop that is busy does."""

    def __init__(self, delays: list[float]) -> None:
        self.now = 100.0
        self.delays = list(delays)
        self.later = asyncio.Event()

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        if not self.delays:
            await self.later.wait()
            return
        self.now += seconds + self.delays.pop(0)


def ticked(delays: list[float], then: float = 0.0) -> Ticker:
    """Return a ticker whose ticks were late by ``delays``, stopped ``then`` seconds after the last of them."""

    async def run() -> Ticker:
        time = Time(delays)
        ticker = Ticker(PERIOD, clock=time.clock, sleep=time.sleep)
        ticker.start()
        await asyncio.sleep(0)  # the ticker runs until its time stands still
        time.now += then
        time.later.set()
        await ticker.stop()
        return ticker

    return asyncio.run(run())


def test_a_loop_that_is_on_time_runs_every_tick_without_lag() -> None:
    ticker = ticked([0.0] * 50)
    assert (ticker.came, ticker.due, ticker.lags.quantile(1.0)) == (50, 50, 0.0)


def test_a_tick_that_runs_early_counts_as_not_late() -> None:
    ticker = ticked([-0.001] * 10)
    assert (ticker.came, ticker.due, ticker.lags.quantile(1.0)) == (10, 10, 0.0)


def test_a_clock_that_stands_still_while_the_loop_sleeps_makes_no_tick_early() -> None:
    ticker = ticked([-0.008, 0.0, 0.0])  # the trial is stopped for 8 ms of the first sleep
    assert (ticker.came, ticker.due) == (2, 2)
    assert ticker.bins.worst == pytest.approx([0.0, 0.0, 0.0])


def test_missed_ticks_count_with_the_lateness_that_they_had() -> None:
    ticker = ticked([0.995])  # the loop was blocked for a second: 100 ticks were due, one came
    assert (ticker.came, ticker.due) == (1, 100)
    assert ticker.lags.quantile(0.5) == pytest.approx(0.495, rel=0.02)
    assert ticker.lags.quantile(1.0) == pytest.approx(0.995, rel=0.002)


def test_the_schedule_does_not_move_with_a_late_tick() -> None:
    ticker = ticked([0.004, 0.0, 0.0])
    assert (ticker.came, ticker.due) == (3, 3)
    assert ticker.bins.worst == [0.0, pytest.approx(0.004), 0.0, 0.0]


def test_a_tick_that_is_due_when_the_ticker_stops_is_waited_for() -> None:
    ticker = ticked([0.0], then=5.005)
    assert (ticker.came, ticker.due) == (2, 501)
    assert ticker.lags.quantile(1.0) == pytest.approx(4.995, rel=0.002)


@given(st.lists(st.floats(0.0, 3.0), min_size=1, max_size=30))
def test_every_tick_that_was_due_is_counted_once(delays: list[float]) -> None:
    ticker = ticked(delays)
    assert len(ticker.lags) == ticker.due == sum(ticker.bins.due)
    assert ticker.came == sum(ticker.bins.came) == len(delays)
    worst = ticker.lags.quantile(1.0)
    assert worst is not None
    assert worst == pytest.approx(max(ticker.bins.worst), rel=0.002, abs=2e-9)


@pytest.mark.parametrize("period", [0.0, -1.0, math.nan, math.inf])
def test_a_period_must_be_a_positive_number(period: float) -> None:
    with pytest.raises(ValueError, match="period must be a positive number of seconds"):
        Ticker(period)


def test_a_real_loop_is_found_blocked() -> None:
    async def main() -> Ticker:
        ticker = Ticker(0.01)
        ticker.start()
        clock = asyncio.get_running_loop().time
        end = clock() + 0.3
        while clock() < end:
            pass
        await ticker.stop()
        return ticker

    ticker = asyncio.run(main())
    assert ticker.due >= 29
    assert ticker.came <= 2


@given(st.lists(st.tuples(st.floats(0.0, 1e6), st.floats(0.0, 10.0), st.booleans()), max_size=50))
def test_a_run_of_any_length_fits_the_bins_and_keeps_sums_and_the_worst(ticks: list[tuple[float, float, bool]]) -> None:
    bins = TickBins(PERIOD)
    for at, lag, came in ticks:
        bins.add(at, lag, came=came)
    assert len(bins.due) == len(bins.came) == len(bins.worst) <= MAX_BINS
    assert sum(bins.due) == len(ticks)
    assert sum(bins.came) == sum(came for *_, came in ticks)
    assert max(bins.worst, default=0.0) == max((lag for _, lag, _ in ticks), default=0.0)


def test_bins_merge_neighbours_when_they_are_full() -> None:
    bins = TickBins(1.0)
    for at in range(MAX_BINS + 1):
        bins.add(float(at), float(at), came=True)
    assert bins.width == 2.0
    assert bins.due == [2] * (MAX_BINS // 2) + [1]
    assert all(earlier < later for earlier, later in pairwise(bins.worst))


def test_a_tick_on_the_edge_of_a_bin_belongs_to_the_bin_that_begins_there() -> None:
    bins = TickBins(0.01)
    for number in range(1, 1000):
        bins.add(number * 0.01, 0.0, came=True)  # 0.29 / 0.01 is 28.999999999999996
    assert bins.due == [0] + [1] * 999
