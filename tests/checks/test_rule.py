"""The rule that makes constructed shares a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.checks.rule import Ruling, rule
from gilscope.checks.shares import Shares, shares_of, shares_of_real_waits
from gilscope.records.verdict_parts import Background

from tests.support.samples import sampled, wait

if TYPE_CHECKING:
    from gilscope.checks.knocks import Wait

QUIET = Background(held=0.0, longest=0.0)
SPINNER = Background(held=0.9, longest=0.0002)


def shares(least: float, count: int = 300, between: float = 1.0) -> Shares:
    return shares_of(sampled(*[wait(least=least)] * count, between=between), mean_gap=0.0005)


def ruled(
    found: Shares,
    call: float,
    background: Background = QUIET,
    *,
    samples: int = 300,
    delays_known: bool = True,
    real: Shares | None = None,
) -> Ruling:
    return rule(found, call, background, samples=samples, delays_known=delays_known, real=real)


def real_waits(*waits: Wait, between: float = 0.01) -> Shares:
    return shares_of_real_waits(sampled(*waits, between=between), switch_interval=0.005)


def test_a_short_call_that_holds_the_gil_is_undecided() -> None:
    yields = shares(0.0001)
    assert ruled(yields, 0.0001) == (
        "undecided",
        "too short",
        "a call takes 100 us and holds the GIL. It ends before it could show whether it yields the GIL.",
    )
    assert ruled(yields, 0.005) == ("yields", "", "")


def test_a_call_that_holds_the_gil_to_an_end_close_to_a_long_hold_is_undecided() -> None:
    to_its_end = shares(0.0006)
    assert ruled(to_its_end, 0.0012)[:2] == ("undecided", "too short")
    hogs = shares(0.0008)
    assert ruled(hogs, 0.0013)[:2] == ("undecided", "too short")
    assert ruled(hogs, 0.0015).kind == "hogs"


def test_one_long_wait_makes_no_hog_if_run_queue_delays_are_unknown() -> None:
    one = shares(0.1, count=1, between=0.0005)
    assert ruled(one, 0.1, samples=1, delays_known=False) == (
        "undecided",
        "too few samples",
        (
            "it seems to release the GIL 0%, yield it 0% and hog it 100% of the time, but that rests on 1 sample, too few to "
            "be sure."
        ),
    )
    assert ruled(one, 0.1, samples=1).kind == "hogs"


def test_few_samples_are_undecided() -> None:
    free = shares_of(sampled(wait(held=False)), mean_gap=0.0005)
    assert ruled(free, 0.1, samples=1)[:2] == ("undecided", "too few samples")


def test_a_long_wait_makes_no_hog_if_something_else_held_the_gil() -> None:
    one = shares(0.1, count=1, between=0.0005)
    kind, reason, explanation = ruled(one, 0.1, SPINNER, samples=1)
    assert (kind, reason) == ("undecided", "something else held the GIL")
    assert "another thread of this process held the GIL 90% of the time" in explanation


def test_a_callable_that_releases_the_gil_is_judged_even_if_something_else_held_it() -> None:
    free = shares_of(sampled(*[wait(held=False)] * 300), mean_gap=0.0005)
    assert ruled(free, 0.0001, SPINNER) == ("releases", "", "")


def test_a_thread_that_waits_at_the_usual_interval_for_what_yields_at_the_lowered_one_makes_a_hog() -> None:
    yields = shares(0.0001)
    assert ruled(yields, 0.5, real=real_waits(*[wait(least=0.4)] * 3)) == ("hogs", "brief releases", "")
    assert ruled(yields, 0.5, real=real_waits(*[wait(least=0.0051)] * 40)) == ("yields", "", "")


def test_yielding_code_with_hardly_any_real_wait_is_undecided() -> None:
    found = ruled(shares(0.0001), 0.1, real=real_waits(*[wait(held=False)] * 9, wait(least=0.0001)))
    assert found[:2] == ("undecided", "too few samples")
    assert "at the program's own it was seen in 1 wait, too few" in found.explanation


def test_a_thread_that_is_often_lucky_is_starved_all_the_same() -> None:
    lucky = [wait(least=0.002)] * 100
    assert ruled(shares(0.0001), 0.5, real=real_waits(*lucky, *[wait(least=0.05)] * 3)).reason == "brief releases"
    assert ruled(shares(0.0001), 0.5, real=real_waits(*lucky, wait(least=0.2))).reason == "brief releases"
    one = ruled(shares(0.0001), 0.5, real=real_waits(*lucky, wait(least=0.05)))
    assert one[:2] == ("undecided", "too few samples")
    assert "waited up to 50.0 ms all the same, but that rests on 1 wait, too few to be sure" in one.explanation


def test_a_free_gil_outweighs_some_long_waits() -> None:
    free = shares_of(sampled(*[wait(held=False)] * 300), mean_gap=0.0005)
    assert ruled(free, 0.5, real=real_waits(*[wait(held=False)] * 300, wait(least=0.1), between=1.0)).kind == "releases"


def test_a_hog_whose_holds_are_shorter_than_the_waits_for_it_releases_the_gil_too_briefly() -> None:
    hogs = shares(0.003)
    assert ruled(hogs, 0.5, real=real_waits(*[wait(least=0.4)] * 3)) == ("hogs", "brief releases", "")
    assert ruled(hogs, 0.5, real=real_waits(*[wait(least=0.0052)] * 30)) == ("hogs", "", "")


def test_one_long_wait_is_not_a_brief_release_if_something_else_held_the_gil() -> None:
    found = ruled(shares(0.0001), 0.5, SPINNER, real=real_waits(*[wait(least=0.4)] * 3))
    assert found[:2] == ("undecided", "something else held the GIL")


def test_a_call_that_releases_the_gil_for_half_of_the_time_is_a_tie_and_not_too_short() -> None:
    half = shares_of(sampled(*[wait(held=False)] * 500, *[wait(least=0.00001)] * 501), mean_gap=0.0005)
    kind, reason, explanation = ruled(half, 0.0001, samples=1001)
    assert (kind, reason) == ("undecided", "a tie")
    assert "the largest two shares are as good as equal" in explanation


def test_thousands_of_unclear_waits_are_named_as_such() -> None:
    unclear = shares_of(sampled(*[wait(least=0.0, most=0.005)] * 30_000, between=15.0), mean_gap=0.0005)
    kind, reason, explanation = ruled(unclear, 0.1, samples=30_000)
    assert (kind, reason) == ("undecided", "unclear waits")
    assert "of 30 000 waits 100% may have been long only because" in explanation
