"""The cause that is written natively while a stall lasts is the one that Python would find in the same evidence."""

from __future__ import annotations

from math import isclose

import pytest
from gilscope._core import _Testing
from gilscope.records.stall import Cause, Contender, Evidence, Thread
from gilscope.watch.cause import (
    MAX_SECONDS_TO_ACQUIRE_FREE_GIL,
    MIN_SHARE_OF_CAUSE,
    cause_without_gil,
    time_spent,
)
from gilscope.watch.judge import costs, longest
from gilscope.watch.native import Segment
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from tests.watch.test_cause import contender, evidence

pytestmark = pytest.mark.thorough

THRESHOLD = 0.05
OWN = Thread(1, "MainThread")

seconds = st.one_of(
    st.just(0.0),
    st.sampled_from([1e-9, 0.001, 0.0025, 0.02, 0.05, 0.1, 0.3]),
    st.integers(0, 10**9).map(lambda ns: ns / 1e9),
)
contenders = st.lists(st.tuples(seconds, seconds, seconds), max_size=3, unique_by=lambda it: it[0]).map(
    lambda several: tuple(
        contender(number, held=held, held_long=min(held, long), collected=min(held, collected))
        for number, (held, long, collected) in enumerate(sorted(several, reverse=True), 1)
    )
)


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    times = ("held", "waited", "slept", "ran_without_gil", "unknown")
    figures = {name: draw(seconds) for name in times}
    sampled = sum(figures.values())
    cpu = draw(st.one_of(st.none(), st.tuples(seconds, seconds)))
    waited = draw(st.one_of(st.none(), seconds))
    return evidence(
        **figures,
        sampled=round(sampled, 9),
        unsampled=draw(seconds),
        collected=min(draw(seconds), figures["held"]),
        ran=cpu and cpu[0],
        queued=cpu and cpu[1],
        switches=draw(st.integers(0, 3)),
        prober_waited=waited,
        # When Python asked last, the stacks were as old as the time since then.
        stacks_age=None if waited is None else -draw(seconds),
        contenders=draw(contenders),
    )


def python(seen: Evidence, duration: float) -> Cause:
    segment = Segment(seen, (), (), None, None)
    main, _ = longest(costs([segment], seen, OWN), duration=duration, threshold=THRESHOLD)
    return main.cause if main else "unknown"


def native(seen: Evidence, duration: float, *, reads_gil: bool = True) -> str:
    return _Testing.cause_so_far(seen, duration=duration, threshold=THRESHOLD, reads_gil=reads_gil)


def total(seen: Evidence) -> float:
    return seen.sampled + seen.unsampled


@settings(max_examples=800)
@given(evidences())
def test_it_is_the_same_for_any_evidence(seen: Evidence) -> None:
    long = sum(each.held_long for each in seen.contenders)
    waited = MIN_SHARE_OF_CAUSE * (seen.waited or seen.unknown)
    assume(not isclose(long, waited, rel_tol=1e-9) or long == waited == 0)  # floats are added up in another order
    half = MIN_SHARE_OF_CAUSE * total(seen)
    # What is unknown may have been spent on any of them.
    spent = (each + more for each in time_spent(seen) for more in (0.0, seen.unknown))
    borders = [(each, needed) for each in spent for needed in (half, min(half, THRESHOLD)) if each]
    assume(not any(isclose(each, needed, rel_tol=1e-8) for each, needed in borders))
    expected = python(seen, total(seen))
    event(expected)
    assert native(seen, total(seen)) == expected


@settings(max_examples=400)
@given(evidences())
def test_it_is_the_same_if_the_gil_cannot_be_read(seen: Evidence) -> None:
    expected = cause_without_gil(seen, duration=total(seen), threshold=THRESHOLD)
    event(expected)
    assume(not _is_on_the_border(seen))
    assert native(seen, total(seen), reads_gil=False) == expected


def _is_on_the_border(seen: Evidence) -> bool:
    """Whether rounding to nanoseconds may decide."""
    if seen.prober_waited is None or seen.stacks_age is None:
        return False
    return isclose(seen.prober_waited - seen.stacks_age, 0.25 * total(seen), abs_tol=1e-8)


def test_a_hog_that_only_collects_garbage_is_a_collection() -> None:
    hog = Contender(
        thread=Thread(2, "pool_0"), held=0.3, held_long=0.3, longest=0.3, queued=0.0, collected=0.29, stack=()
    )
    seen = evidence(sampled=0.3, waited=0.3, contenders=(hog,))
    assert native(seen, 0.3) == "garbage collection"


def test_a_sleep_of_unknown_kind_is_a_wait_if_the_gil_was_free() -> None:
    free = evidence(sampled=0.3, unknown=0.3, prober_waited=MAX_SECONDS_TO_ACQUIRE_FREE_GIL / 2, stacks_age=0.0)
    assert native(free, 0.3) == "blocked, waiting"
