"""The last minute of a made-up process, of which everything is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from gilscope.attach.live import LongHold, StallNow, Turn
from gilscope.records.stall import Thread
from gilscope.top.lags import SECONDS_KEPT
from gilscope.top.model import Model
from gilscope.top.sums import Sums

from tests.support.watched import stall
from tests.top.service import MAIN, PARSE, POOL, Service

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilscope.top.picture import LoopRow

ONE_PERCENT = 0.011


def run(service: Service, seconds: Iterable[float], model: Model | None = None) -> Model:
    """Update a model at these moments."""
    model = model or Model(service, threshold=0.05, cpu_time=lambda: 0.012 * service.at)
    for service.at in seconds:
        model.update()
    return model


def loop(model: Model) -> LoopRow:
    (row,) = model.picture().loops
    return row


def test_sums_are_subtracted_over_the_window() -> None:
    sums: Sums[str] = Sums()
    for second in range(1, 101):
        sums.add(second, {"all": 2.0 * second, "late": max(0.0, second - 97.0)})
    assert sums.over(1) == (1.0, {"all": 2.0, "late": 1.0})
    assert sums.over(10) == (10.0, {"all": 20.0, "late": 3.0})
    assert sums.over(60) == (60.0, {"all": 120.0, "late": 3.0})


def test_a_window_that_is_not_full_yet_covers_what_there_is() -> None:
    sums: Sums[str] = Sums(5.0, {"all": 7.0})
    assert sums.over(60) == (0.0, {"all": 0.0})
    sums.add(6.0, {"all": 7.5})
    assert sums.over(60) == (1.0, {"all": 0.5})


def test_updates_that_come_a_little_early_or_late_change_no_window() -> None:
    sums: Sums[str] = Sums()
    for second in range(1, 20):
        sums.add(second + (0.2 if second % 2 else 0.0), {"all": second})
    span, grown = sums.over(1)
    assert (round(span, 6), grown) == (1.2, {"all": 1.0})


def test_the_sums_of_threads_that_were_merged_do_not_become_negative() -> None:
    sums: Sums[int] = Sums(0.0, {1: 5.0})
    sums.add(1.0, {1: 3.0})
    assert sums.over(1)[1] == {1: 0.0}


def test_utilization_and_shares_of_the_gil_are_those_of_the_window() -> None:
    model = run(Service(), range(61))
    assert loop(model).busy == pytest.approx((0.8, 0.8, 0.8))
    picture = model.picture()
    assert picture.held == pytest.approx((0.7, 0.7, 0.7))
    assert [(row.name, row.alive) for row in picture.threads] == [
        ("MainThread", True),
        ("asyncio_0", True),
        ("thread 103", True),
    ]
    assert picture.threads[1].shares == pytest.approx((0.2, 0.2, 0.2))
    assert picture.cost == pytest.approx(0.012)


def test_what_a_loop_is_busy_with_is_a_share_of_its_time() -> None:
    computing, waiting = run(Service(), range(61)).picture().spent
    assert (computing.doing, round(computing.share, 6)) == ("computing", 0.41)
    assert (waiting.doing, waiting.holder, waiting.held_at) == ("waiting for the GIL", "asyncio_0", PARSE)
    assert waiting.share == pytest.approx(0.22)


def test_quantiles_are_those_of_the_lags_in_each_window() -> None:
    service = Service()
    # 100 turns a second: of 1 ms in the first 50 s, of 2 ms in the next 9 s, of 4 ms in the last second.
    service.turn_ends = [
        Turn(1, (n + 0.5) / 100, 0.001 if n < 5000 else 0.002 if n < 5900 else 0.004) for n in range(6000)
    ]
    service.turn_ends.insert(3020, Turn(1, 30.2, 0.3))
    last, ten, sixty = loop(run(service, range(61))).lags
    assert last == pytest.approx((0.004, 0.004, 0.004), rel=ONE_PERCENT)
    assert ten == pytest.approx((0.002, 0.004, 0.004), rel=ONE_PERCENT)
    assert sixty == pytest.approx((0.001, 0.004, 0.3), rel=ONE_PERCENT)


def test_a_lag_counts_once_however_often_it_is_returned() -> None:
    service = Service()
    service.turn_ends = [Turn(1, 0.5, 0.1), Turn(1, 1.5, 0.001)]
    model = run(service, [1, 2, 3, 13])
    assert loop(model).lags[0] == (None, None, None)
    assert loop(model).lags[2][2] == 0.1


def test_a_loop_that_sleeps_is_not_late_and_a_long_turn_counts_as_often_as_something_could_have_become_due() -> None:
    service = Service()
    service.turn_ends = [Turn(1, (number + 1) / 100, 0.0) for number in range(80)]
    service.turn_ends += [Turn(1, 0.99, 0.2 - number / 100) for number in range(20)]  # all of one turn of 0.2 s
    p50, p99, longest = loop(run(service, [1])).lags[0]
    assert p50 == 0.0
    assert p99 == pytest.approx(0.19, rel=ONE_PERCENT)
    assert longest == 0.2


def test_a_turn_that_is_not_over_counts_as_the_longest_lag() -> None:
    service = Service()
    service.turn_ends = []
    model = run(service, range(20))
    service.late = (StallNow(1, 3.5, "blocked, waiting", None, MAIN),)
    row = loop(run(service, [20.25], model))
    assert [figures.max for figures in row.lags] == [3.5, 3.5, 3.5]
    # Of what became due in the last second, half has waited for 0.5 s or longer; since the turn began, for 1.75 s.
    assert [figures.p50 for figures in row.lags] == pytest.approx([0.5, 1.75, 1.75], rel=2 * ONE_PERCENT)
    assert row.longest[-5:] == (None, 0.25, 1.25, 2.25, 3.25) or row.longest[-5:] == (0.25, 1.25, 2.25, 3.25, 3.5)


def test_a_lag_counts_in_every_second_as_long_as_it_was_by_then() -> None:
    service = Service()
    service.turn_ends = [Turn(1, 0.5, 0.25), Turn(1, 9.25, 3.0)]
    row = loop(run(service, range(11)))
    assert row.longest[-11:] == (0.25, None, None, None, None, None, 0.75, 1.75, 2.75, 3.0, None)


def test_a_lag_longer_than_the_chart_fills_it() -> None:
    service = Service()
    service.turn_ends = [Turn(1, 999.0, 998.5)]
    model = Model(service, threshold=0.05, cpu_time=lambda: 0.012 * service.at)
    service.at = 999.5
    model.update()
    assert None not in loop(model).longest
    assert len(loop(model).longest) == SECONDS_KEPT


def test_stalls_of_the_last_minute_are_added_up_by_place() -> None:
    service = Service()
    service.stalled = [
        stall("starved by a hog", 5.0, 0.1, function="old", line=1),
        stall("starved by a hog", 80.0, 0.1, function="parse", line=9),
        stall("starved by a hog", 85.0, 0.2, function="parse", line=9),
        stall("blocked, waiting", 90.0, 0.25, function="fetch", line=5),
    ]
    found = run(service, range(101)).picture().culprits
    assert [(site.cause, site.culprit.function, site.stalls) for site in found if site.culprit] == [
        ("starved by a hog", "parse", 2),
        ("blocked, waiting", "fetch", 1),
    ]


def test_a_stall_that_is_judged_seconds_later_is_counted_once() -> None:
    service = Service()
    model = run(service, range(11))
    service.stalled = [stall("blocked, waiting", 7.5, 0.25, function="fetch", line=5)]
    (site,) = run(service, range(11, 14), model).picture().culprits
    assert site.stalls == 1


def test_the_longest_hold_is_that_of_the_last_minute_with_its_line() -> None:
    service = Service()
    service.long = [
        LongHold(POOL, 1.0, 5.0, None),
        LongHold(POOL, 70.0, 0.2, PARSE),
        LongHold(POOL, 80.0, 0.1, PARSE),
    ]
    assert run(service, range(100)).picture().longest_hold == service.long[1]


def test_a_hold_that_lasts_still_counts_with_its_length_so_far() -> None:
    service = Service()
    model = run(service, [1, 2])
    for service.at in (3, 4):
        service.long = [LongHold(POOL, 1.5, service.at - 1.5, PARSE)]
        model.update()
    assert model.picture().longest_hold == LongHold(POOL, 1.5, 2.5, PARSE)


def test_without_a_long_hold_the_longest_one_is_shown_without_a_line() -> None:
    hold = run(Service(), range(10)).picture().longest_hold
    assert hold is not None
    assert (hold.thread, hold.seconds, hold.frame) == (POOL, 1.0, None)


def test_a_reset_forgets_everything_and_begins_again() -> None:
    service = Service()
    service.stalled = [stall("starved by a hog", 5.0, 0.1)]
    service.long = [LongHold(POOL, 5.0, 0.1, PARSE)]
    service.turn_ends = [Turn(1, 5.1, 0.1), Turn(1, 10.5, 0.001)]
    model = run(service, range(11))
    model.reset()
    picture = model.picture()
    assert (picture.culprits, picture.spent, picture.longest_hold, picture.loops) == ((), (), None, ())
    assert picture.held == (0.0, 0.0, 0.0)
    picture = run(service, [11], model).picture()
    assert picture.loops[0].busy == pytest.approx((0.8, 0.8, 0.8))
    assert picture.loops[0].lags[2].max == 0.001
    assert (picture.elapsed, picture.since_reset) == (11, 1)


def test_a_thread_that_has_ended_is_shown_while_it_is_in_the_window_and_two_of_a_name_are_told_apart() -> None:
    service = Service()
    service.others = [Thread(999, POOL.name)]
    service.threads = lambda: [MAIN, *service.others]  # type: ignore[method-assign]
    rows = run(service, range(5)).picture().threads
    assert [(row.name, row.alive) for row in rows] == [
        ("MainThread", True),
        ("asyncio_0 (102)", False),
        ("asyncio_0 (999)", True),
    ]
