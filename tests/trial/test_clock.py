"""The clock of a trial stands still while the trial is stopped."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from gilscope.trial.clock import Pauses, TrialClock

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pauses() -> Iterator[Pauses]:
    shared = Pauses()
    yield shared
    shared.close()


def test_without_a_pause_it_is_the_systems_clock(pauses: Pauses) -> None:
    for clock in (TrialClock(), TrialClock(pauses)):
        before = time.perf_counter()
        assert before <= clock.now() <= time.perf_counter()
        assert clock.at(5.0) == 5.0


def test_pauses_do_not_count_and_a_moment_within_one_is_its_begin(pauses: Pauses) -> None:
    clock = TrialClock(pauses)
    pauses.add(10.0, 13.0)
    pauses.add(20.0, 21.0)
    moments = [9.0, 10.0, 12.0, 13.0, 19.0, 20.5, 21.0, 30.0]
    assert [clock.at(moment) for moment in moments] == [9.0, 10.0, 10.0, 10.0, 16.0, 17.0, 17.0, 26.0]


def test_a_moment_before_a_pause_stays_where_it_was_when_the_pause_is_known(pauses: Pauses) -> None:
    clock = TrialClock(pauses)
    assert clock.at(11.0) == 11.0
    pauses.add(12.0, 15.0)
    assert [clock.at(11.0), clock.at(15.5)] == [11.0, 12.5]


def test_a_moment_between_the_begin_of_a_pause_and_the_stop_counts_and_the_clock_never_goes_back(
    pauses: Pauses,
) -> None:
    clock = TrialClock(pauses)
    assert clock.at(1.5) == 1.5
    pauses.add(1.0, 3.0)  # the process that stopped the trial had looked at its clock before
    assert [clock.at(moment) for moment in (0.5, 1.4, 1.6, 2.9, 3.0, 3.5)] == [0.5, 1.4, 1.5, 1.5, 1.5, 2.0]
