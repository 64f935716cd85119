"""A watch in time: few bins, and no lag and no hold lost in them."""

from __future__ import annotations

import pytest
from gilscope.records.timeline import Track
from gilscope.watch import bins
from gilscope.watch.bins import BINS, NARROWEST, THREADS, binned
from hypothesis import given
from hypothesis import strategies as st

Spans = list[tuple[int, float, float]]
SPANS = st.lists(
    st.tuples(
        st.integers(0, THREADS + 4),
        st.floats(0, 1, allow_subnormal=False),
        st.floats(0, 1, allow_subnormal=False),
    ),
    min_size=1,
    max_size=40,
)
"""A thread, seconds until it holds the GIL after the last one, and how long it does."""
BEATS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 3)), min_size=1, max_size=40)
"""Seconds since the last beat, and how late this one is."""


@given(BEATS, st.floats(0, 60))
def test_the_worst_lag_is_kept_in_the_bin_in_which_its_beat_came(gaps: list[tuple[float, float]], end: float) -> None:
    at, lags = 0.0, []
    for gap, lag in gaps:
        at += gap
        lags.append((at, min(lag, at)))
    line = binned(lags=lags, holds=[], end=end)
    seen = [lag for lag in line.worst if lag is not None]
    assert max(seen) == pytest.approx(max(lag for _, lag in lags), abs=1e-6)
    for at, lag in lags:
        in_its_bin = line.worst[min(int(at / line.width), len(line.worst) - 1)]
        assert in_its_bin is not None
        assert in_its_bin >= lag - 1e-6


@given(SPANS)
def test_what_the_threads_held_adds_up_to_what_was_held_and_to_no_more_than_a_bin(spans: Spans) -> None:
    at, holds = 0.0, []
    for thread, gap, length in spans:
        holds.append((thread, None, at + gap, at + gap + length))
        at += gap + length
    line = binned(lags=[], holds=holds, end=at)
    assert sum(sum(track.held) for track in line.held) == pytest.approx(
        sum(length for _, _, length in spans), abs=1e-6 * BINS * (THREADS + 1)
    )
    together = [sum(parts) for parts in zip(*(track.held for track in line.held), strict=True)]
    assert all(held <= line.width + 1e-5 for held in together)
    assert len(line.held) <= THREADS + 1


@pytest.mark.parametrize("end", [0.0, 0.001, 0.3, 7.0, 86_400.0])
def test_a_time_line_is_short_however_long_the_watch_and_reaches_to_its_end(end: float) -> None:
    line = binned(lags=[], holds=[], end=end)
    assert 1 <= len(line.worst) <= BINS
    assert line.width >= NARROWEST
    assert line.begin + line.width * len(line.worst) == pytest.approx(max(end, NARROWEST))


def test_a_loop_that_is_late_is_later_every_moment_until_its_beat_comes() -> None:
    line = binned(lags=[(0.01, 0.001), (0.1, 0.07), (0.19, 0.002)], holds=[], end=0.2)
    assert line.width == pytest.approx(0.02)
    assert line.worst == (0.001, 0.01, 0.03, 0.05, 0.07, 0.07, None, None, None, 0.002)


def test_a_hold_is_shared_by_the_bins_that_it_is_in() -> None:
    line = binned(lags=[], holds=[(7, "pool_0", 0.01, 0.05)], end=0.1)
    assert line.held == (Track("pool_0", (0.01, 0.02, 0.01, 0.0, 0.0)),)


def test_the_longest_holders_are_apart_and_the_others_are_one() -> None:
    holds = [(thread, f"t{thread}", float(thread), thread + thread / 100) for thread in range(1, THREADS + 4)]
    line = binned(lags=[], holds=holds, end=20.0)
    assert [track.thread for track in line.held] == ["t11", "t10", "t9", "t8", "t7", "t6", "t5", "t4", "other threads"]
    assert sum(line.held[-1].held) == pytest.approx(0.01 + 0.02 + 0.03)


def test_threads_of_one_name_are_told_apart_by_their_ids() -> None:
    line = binned(lags=[], holds=[(7, "worker", 0.0, 0.2), (8, "worker", 0.2, 0.3), (9, None, 0.3, 0.35)], end=1.0)
    assert [track.thread for track in line.held] == ["worker (7)", "worker (8)", "thread 9"]


def test_a_watch_too_long_to_be_kept_is_drawn_from_where_all_of_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bins, "LAGS_KEPT", 3)
    monkeypatch.setattr(bins, "HOLDS_KEPT", 2)
    lags = [(50.0, 0.9), (61.0, 2.0), (90.0, 0.01)]
    line = binned(lags=lags, holds=[(1, "a", 40.0, 41.0), (1, "a", 70.0, 71.0)], end=100.0)
    assert line.begin == 50.0
    assert max(lag for lag in line.worst if lag is not None) == 2.0
    assert sum(line.held[0].held) == pytest.approx(1.0)
    assert line.begin + line.width * len(line.worst) == pytest.approx(100.0)
