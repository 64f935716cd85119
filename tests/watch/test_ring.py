"""What a watch keeps of the last minutes takes little memory, whatever the program does."""

from __future__ import annotations

import asyncio

import pytest
from gilscope import Watch
from gilscope._core import _Testing
from gilscope.watch.recent_stalls import MAX_BYTES, SECONDS_KEPT, RecentStalls
from msgspec.structs import replace

from tests.support.watched import stall

MAX_BYTES_IN_ALL = 8_000_000
A_MILLION = 1_000_000


@pytest.mark.parametrize("threads", [3, 1000, A_MILLION])
def test_a_million_holds_and_heartbeats_and_all_stalls_stay_within_8_mb(threads: int) -> None:
    watch = Watch()
    with watch:
        assert watch._session
        assert _Testing.fill_rings(watch._session.watcher(), A_MILLION, threads) + MAX_BYTES <= MAX_BYTES_IN_ALL


def test_a_watch_that_has_seen_nothing_keeps_nothing() -> None:
    watch = Watch()
    with watch:
        asyncio.run(asyncio.sleep(0))
        assert watch._session
        assert _Testing.fill_rings(watch._session.watcher(), 0, 1) < 10_000
        assert watch._session.recent_stalls.size == 0


def test_stalls_come_back_as_they_were() -> None:
    kept = RecentStalls()
    first, second = stall("blocked, computing", 1.0, 0.3), stall("blocked, waiting", 2.0, 0.3, function="été")
    kept.add(first)
    kept.add(second)
    assert kept.since(0.0) == ([first, second], 0)
    assert kept.since(first.end) == ([second], 0)


def test_stalls_are_dropped_by_their_age() -> None:
    kept = RecentStalls()
    for start in range(0, 2000, 10):
        kept.add(stall("blocked, waiting", float(start), 0.3))
    stalls, dropped = kept.since(0.0)
    assert stalls[0].end >= stalls[-1].end - SECONDS_KEPT
    assert len(stalls) == SECONDS_KEPT / 10 + 1
    assert dropped == 0  # they would not be in a dump


def test_stalls_that_take_too_much_memory_are_dropped_and_counted() -> None:
    kept, number = RecentStalls(), 0
    one = stall("blocked, waiting", 0.0, 0.05)
    while number < 20_000:
        number += 1
        kept.add(replace(one, start=number / 100, task=f"{number * 7_919:x}"))
        assert kept.size <= MAX_BYTES
    stalls, dropped = kept.since(0.0)
    assert dropped > 0
    assert len(stalls) + dropped == number
    assert kept.since(stalls[-1].start - 1.0)[1] == 0
