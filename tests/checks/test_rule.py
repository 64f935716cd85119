"""The rule that makes constructed shares a verdict."""

from gilscope.checks.rule import Ruling, rule
from gilscope.checks.shares import Shares, shares_of
from gilscope.records.verdict import Background

from tests.support.samples import sampled, wait

QUIET = Background(held=0.0, longest=0.0)
SPINNER = Background(held=0.9, longest=0.0002)


def shares(least: float, count: int = 300, between: float = 1.0) -> Shares:
    return shares_of(sampled(*[wait(least=least)] * count, between=between), mean_gap=0.0005)


def ruled(
    found: Shares, call: float, background: Background = QUIET, *, samples: int = 300, delays_known: bool = True
) -> Ruling:
    return rule(found, call, background, samples=samples, delays_known=delays_known)


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
