"""A watch over time: few bins, and no lag or hold is lost in them."""

from __future__ import annotations

import pytest
from gilscope.records.timeline import Track
from gilscope.watch import bins
from gilscope.watch.bins import MAX_BINS, MAX_THREADS, MIN_SECONDS_PER_BIN, Hold, LoopLag, binned
from hypothesis import given
from hypothesis import strategies as st

Spans = list[tuple[int, float, float]]
SPANS = st.lists(
    st.tuples(
        st.integers(0, MAX_THREADS + 4),
        st.floats(0, 1, allow_subnormal=False),
        st.floats(0, 1, allow_subnormal=False),
    ),
    min_size=1,
    max_size=40,
)
"""A thread, the seconds from the last hold to its hold, and the length of its hold."""
BEATS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 3)), min_size=1, max_size=40)
"""Seconds since the last beat, and how late this one is."""


@given(BEATS, st.floats(0, 60))
def test_the_worst_lag_is_kept_in_the_bin_in_which_its_beat_came(gaps: list[tuple[float, float]], end: float) -> None:
    at, lags = 0.0, []
    for gap, lag in gaps:
        at += gap
        lags.append(LoopLag(at, min(lag, at)))
    line = binned(lags=lags, holds=[], end=end)
    seen = [lag for lag in line.worst if lag is not None]
    assert max(seen) == pytest.approx(max(lag for _, lag in lags), abs=1e-6)
    for at, lag in lags:
        worst_in_its_bin = line.worst[min(int(at / line.width), len(line.worst) - 1)]
        assert worst_in_its_bin is not None
        assert worst_in_its_bin >= lag - 1e-6


@given(SPANS)
def test_the_tracks_add_up_to_the_holds_and_never_exceed_a_bin(spans: Spans) -> None:
    at, holds = 0.0, []
    for thread, gap, length in spans:
        holds.append(Hold(thread, None, at + gap, at + gap + length))
        at += gap + length
    line = binned(lags=[], holds=holds, end=at)
    assert sum(sum(track.held) for track in line.held) == pytest.approx(
        sum(length for _, _, length in spans), abs=1e-6 * MAX_BINS * (MAX_THREADS + 1)
    )
    together = [sum(parts) for parts in zip(*(track.held for track in line.held), strict=True)]
    assert all(held <= line.width + 1e-5 for held in together)
    assert len(line.held) <= MAX_THREADS + 1


@pytest.mark.parametrize("end", [0.0, 0.001, 0.3, 7.0, 86_400.0])
def test_a_timeline_is_short_for_any_watch_and_reaches_to_its_end(end: float) -> None:
    line = binned(lags=[], holds=[], end=end)
    assert 1 <= len(line.worst) <= MAX_BINS
    assert line.width >= MIN_SECONDS_PER_BIN
    assert line.begin + line.width * len(line.worst) == pytest.approx(max(end, MIN_SECONDS_PER_BIN))


def test_the_lag_of_a_late_loop_grows_until_its_beat_comes() -> None:
    line = binned(lags=[LoopLag(0.01, 0.001), LoopLag(0.1, 0.07), LoopLag(0.19, 0.002)], holds=[], end=0.2)
    assert line.width == pytest.approx(0.02)
    assert line.worst == (0.001, 0.01, 0.03, 0.05, 0.07, 0.07, None, None, None, 0.002)


def test_a_hold_is_divided_among_its_bins() -> None:
    line = binned(lags=[], holds=[Hold(7, "pool_0", 0.01, 0.05)], end=0.1)
    assert line.held == (Track("pool_0", (0.01, 0.02, 0.01, 0.0, 0.0)),)


def test_the_longest_holders_have_a_track_each_and_the_others_share_one() -> None:
    holds = [Hold(thread, f"t{thread}", float(thread), thread + thread / 100) for thread in range(1, MAX_THREADS + 4)]
    line = binned(lags=[], holds=holds, end=20.0)
    assert [track.thread for track in line.held] == ["t11", "t10", "t9", "t8", "t7", "t6", "t5", "t4", "other threads"]
    assert sum(line.held[-1].held) == pytest.approx(0.01 + 0.02 + 0.03)


def test_threads_of_one_name_are_distinguished_by_their_ids() -> None:
    line = binned(
        lags=[], holds=[Hold(7, "worker", 0.0, 0.2), Hold(8, "worker", 0.2, 0.3), Hold(9, None, 0.3, 0.35)], end=1.0
    )
    assert [track.thread for track in line.held] == ["worker (7)", "worker (8)", "thread 9"]


def test_a_timeline_begins_where_both_holds_and_beats_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bins, "BEATS_KEPT", 3)
    monkeypatch.setattr(bins, "HOLDS_KEPT", 2)
    lags = [LoopLag(50.0, 0.9), LoopLag(61.0, 2.0), LoopLag(90.0, 0.01)]
    line = binned(lags=lags, holds=[Hold(1, "a", 40.0, 41.0), Hold(1, "a", 70.0, 71.0)], end=100.0)
    assert line.begin == 50.0
    assert max(lag for lag in line.worst if lag is not None) == 2.0
    assert sum(line.held[0].held) == pytest.approx(1.0)
    assert line.begin + line.width * len(line.worst) == pytest.approx(100.0)
