"""The shares, from constructed samples."""

import pytest
from gilscope.checks.shares import shares_of, shares_of_real_waits

from tests.support.samples import sampled, wait


def test_a_long_wait_is_hogged_time_and_the_time_between_is_divided_in_proportion_to_the_samples() -> None:
    found = shares_of(sampled(wait(held=False), wait(least=1.0), between=1.0), mean_gap=0.0005)
    assert (found.released, found.yielded, found.hogged) == pytest.approx((0.25, 0.0, 0.75))


def test_a_short_wait_long_after_the_previous_sample_may_be_for_the_end_of_a_long_hold() -> None:
    long_after = [wait(least=0.0002, before=0.004)] * 30
    found = shares_of(sampled(*[wait(least=0.003)] * 70, *long_after), mean_gap=0.0005)
    assert found.hogged == pytest.approx(1.0)


def test_waits_that_may_have_been_a_delay_of_the_knocker_make_no_hog() -> None:
    delayed = [wait(least=0.0, most=0.005)] * 100
    assert not shares_of(sampled(*delayed), mean_gap=0.0005).certain
    yielding = [wait(least=0.0001)] * 100
    found = shares_of(sampled(*delayed, *yielding), mean_gap=0.0005)
    assert (found.largest, found.hogged) == ("yields", 0.0)


def test_few_samples_are_not_certain() -> None:
    assert not shares_of(sampled(wait(held=False)), mean_gap=0.0005).certain
    assert not shares_of(sampled(), mean_gap=0.0005).certain
    assert shares_of(sampled(*[wait(held=False)] * 30), mean_gap=0.0005).certain


def test_a_long_wait_in_which_no_release_woke_the_thread_is_the_systems_doing() -> None:
    long = wait(least=0.05)
    woken = [long._replace(slept=100)] * 3
    undisturbed = [long._replace(slept=11)] * 3
    assert shares_of_real_waits(sampled(*woken, between=0.01), switch_interval=0.005).largest == "hogs"
    assert shares_of_real_waits(sampled(*undisturbed, between=0.01), switch_interval=0.005).hogged == 0


def test_a_wait_that_outlasts_the_pause_between_two_calls_shows_that_the_thread_got_no_cpu() -> None:
    missed = wait(least=0.008)._replace(slept=20, whole=False)
    assert shares_of_real_waits(sampled(*[missed] * 5, between=0.01), switch_interval=0.005).hogged == 0
    assert shares_of_real_waits(sampled(*[missed._replace(whole=True)] * 5), switch_interval=0.005).hogged > 0
