"""Which cause the evidence of a stall shows, and when it is not enough."""

from __future__ import annotations

import pytest
from gilscope.records.stall import Cause, Contender, Evidence, Thread
from gilscope.watch.cause import REMEDY, cause_without_gil, time_spent
from gilscope.watch.judge import costs, longest
from gilscope.watch.native import Segment


def evidence(**figures: object) -> Evidence:
    """Return evidence of nothing but the figures given."""
    nothing = dict.fromkeys(
        ("sampled", "unsampled", "held", "collected", "waited", "slept", "ran_without_gil", "unknown", "ran", "queued"),
        0.0,
    )
    return Evidence(
        **{**nothing, "switches": 0, "prober_waited": None, "stacks_age": None, "contenders": (), **figures}  # type: ignore[arg-type]
    )


def contender(number: int = 1, **figures: float) -> Contender:
    nothing = dict.fromkeys(("held", "held_long", "longest", "queued", "collected"), 0.0)
    return Contender(thread=Thread(number, f"thread {number}"), stack=(), **{**nothing, **figures})


def cause_of(duration: float = 0.3, **figures: object) -> Cause:
    """Return the cause of a stall that was the same from its beginning to its end."""
    seen = evidence(**figures)
    segment = Segment(seen, (), (), None, None)
    main, _ = longest(costs([segment], seen, Thread(1, "MainThread")), duration=duration, threshold=0.05)
    return main.cause if main else "unknown"


def test_a_loop_that_held_the_gil_was_blocked_computing() -> None:
    assert cause_of(held=0.3, ran=0.3) == "blocked, computing"


def test_a_loop_that_held_the_gil_asleep_was_blocked_computing_too() -> None:
    assert cause_of(held=0.3, ran=0.0) == "blocked, computing"


def test_a_loop_that_slept_was_blocked_waiting() -> None:
    assert cause_of(slept=0.3) == "blocked, waiting"


def test_a_loop_that_ran_without_the_gil_was_blocked_waiting() -> None:
    assert cause_of(ran_without_gil=0.3, ran=0.3) == "blocked, waiting"


def test_a_loop_that_waited_for_one_long_hold_was_starved_by_a_hog() -> None:
    assert cause_of(waited=0.3, contenders=(contender(held=0.3, held_long=0.3, longest=0.35),)) == "starved by a hog"


def test_a_loop_that_waited_for_many_short_holds_was_starved_by_turns() -> None:
    assert (
        cause_of(waited=0.3, switches=60, contenders=tuple(contender(n, held=0.05, longest=0.005) for n in range(6)))
        == "starved by turns"
    )


def test_a_loop_that_waited_for_a_thread_without_cpu_had_no_cpu() -> None:
    assert cause_of(waited=0.3, switches=0, contenders=(contender(held=0.3, longest=0.31, queued=0.3),)) == "no CPU"


def test_a_runnable_loop_that_did_not_run_had_no_cpu() -> None:
    assert cause_of(ran_without_gil=0.3, ran=0.001, queued=0.29) == "no CPU"


def test_a_process_that_was_stopped_had_no_cpu() -> None:
    assert cause_of(unsampled=0.29, sampled=0.01, ran=0.001, queued=0.0) == "no CPU"
    assert cause_of(ran_without_gil=0.3, ran=0.001, queued=0.0) == "no CPU"


def test_a_callback_that_is_prolonged_by_turns_is_still_the_cause() -> None:
    others = tuple(contender(n, held=0.1, longest=0.005) for n in range(8))
    assert cause_of(1.0, held=0.1, ran=0.1, waited=0.9, contenders=others) == "blocked, computing"


def test_a_callback_that_is_prolonged_by_a_lack_of_cpu_is_still_the_cause() -> None:
    assert cause_of(0.4, held=0.4, ran=0.15, queued=0.25) == "blocked, computing"


def test_of_two_that_would_each_be_a_stall_the_longer_is_the_cause() -> None:
    hog = (contender(held=0.1, held_long=0.1, longest=0.1),)
    assert cause_of(slept=0.2, waited=0.1, contenders=hog) == "blocked, waiting"
    hog = (contender(held=0.2, held_long=0.2, longest=0.2),)
    assert cause_of(slept=0.1, waited=0.2, contenders=hog) == "starved by a hog"


def test_a_hog_without_cpu_is_still_a_hog() -> None:
    hog = (contender(held=0.3, held_long=0.3, longest=0.3, queued=0.2),)
    assert cause_of(waited=0.3, contenders=hog) == "starved by a hog"


def test_a_collection_is_the_cause_if_the_rest_would_not_be_a_stall() -> None:
    assert cause_of(held=0.3, collected=0.29) == "garbage collection"
    assert (
        cause_of(waited=0.3, contenders=(contender(held=0.3, held_long=0.3, collected=0.28),)) == "garbage collection"
    )


def test_a_collection_that_prolongs_a_computation_is_not_the_cause() -> None:
    assert cause_of(0.6, held=0.6, collected=0.35) == "blocked, computing"


def test_a_bit_of_everything_is_unknown() -> None:
    assert cause_of(slept=0.03, held=0.03, waited=0.04, ran_without_gil=0.02, unsampled=0.05, queued=0.02) == "unknown"


def test_no_evidence_is_unknown() -> None:
    assert cause_of() == "unknown"


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"ran_without_gil": 0.3, "ran": 0.3, "prober_waited": 0.25}, "blocked, computing"),
        ({"ran_without_gil": 0.3, "ran": 0.3, "prober_waited": 0.0001}, "blocked, waiting"),
        ({"slept": 0.3, "prober_waited": 0.0001}, "blocked, waiting"),
        ({"unknown": 0.3, "prober_waited": 0.0001}, "blocked, waiting"),
        ({"unknown": 0.3, "prober_waited": 0.25}, "starved by a hog"),
        ({"unknown": 0.3, "prober_waited": 0.006}, "starved by turns"),
        ({"ran_without_gil": 0.3, "queued": 0.29, "ran": 0.001, "prober_waited": 0.1}, "no CPU"),
        (
            {"unknown": 0.3, "prober_waited": 0.006, "stacks_age": 0.0},
            "unknown",
        ),  # the prober came when the stall was over
        ({"unknown": 0.3, "prober_waited": 0.006, "stacks_age": -0.2}, "starved by turns"),
        ({"unknown": 0.3}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_if_the_gil_cannot_be_read_the_wait_of_the_prober_decides(figures: dict[str, float], expected: Cause) -> None:
    assert cause_without_gil(evidence(**figures), duration=0.3, threshold=0.05) == expected


def test_every_cause_has_a_remedy() -> None:
    assert set(REMEDY) == set(Cause.__args__)  # type: ignore[attr-defined]


def test_the_time_spent_adds_up_to_what_was_seen() -> None:
    seen = evidence(held=0.1, slept=0.05, waited=0.1, ran_without_gil=0.05, ran=0.15, contenders=(contender(held=0.1),))
    assert sum(time_spent(seen)) == pytest.approx(0.3)
