"""A stall is reported at the cause and the line that took most of its time, and its other parts are kept."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from gilscope.records.stall import Contender, Frame, Part, Thread
from gilscope.watch.judge import costs, costs_without_gil, longest
from gilscope.watch.native import Segment
from msgspec.structs import replace

from tests.watch.test_cause import contender, evidence

if TYPE_CHECKING:
    from gilscope.watch.judge import Cost

LOOP, POOL = Thread(1, "MainThread"), Thread(2, "pool_0")
PARSE, QUERY, WALK = (Frame("/srv/app.py", line, name) for line, name in ((11, "parse"), (15, "query"), (21, "walk")))
LATER_IN_PARSE = Frame("/srv/app.py", 12, "parse")
HOG, OTHER_HOG = Frame("/srv/jobs.py", 5, "load"), Frame("/srv/jobs.py", 9, "sort")


def at(line: Frame | None, **figures: Any) -> Segment:
    """Return a segment whose stack shows the loop at ``line``."""
    stack = (line,) if line else ()
    sampled = sum(value for name, value in figures.items() if name in {"held", "slept", "waited", "unknown"})
    return Segment(evidence(**{"sampled": sampled, **figures}), stack, stack, None, None)


def hogged(line: Frame | None, seconds: float, thread: Thread = POOL) -> Contender:
    figures = contender(held=seconds, held_long=seconds, longest=seconds)
    return Contender(
        thread=thread,
        stack=(line,) if line else (),
        **{name: getattr(figures, name) for name in ("held", "held_long", "longest", "queued", "collected")},
    )


def judged(*segments: Segment, threshold: float = 0.05) -> tuple[Cost | None, tuple[Part, ...]]:
    contenders = tuple(one for each in segments for one in each.evidence.contenders)
    summed = ("sampled", "held", "collected", "waited", "slept", "unknown", "switches", "ran", "queued")
    figures = {name: sum(getattr(each.evidence, name) or 0.0 for each in segments) for name in summed}
    whole = evidence(**figures, contenders=contenders)
    duration = sum(each.evidence.sampled for each in segments)
    return longest(costs(segments, whole, LOOP), duration=duration, threshold=threshold)


def seen(*segments: Segment) -> tuple[str, Frame | None]:
    main, _ = judged(*segments)
    return (main.cause, main.culprit) if main else ("unknown", None)


def test_the_line_that_took_longest_is_the_stalls_and_the_other_is_a_part() -> None:
    main, parts = judged(at(PARSE, held=0.08), at(QUERY, slept=0.5), at(QUERY, slept=1.5))
    assert main is not None
    assert (main.cause, main.culprit, main.thread) == ("blocked, waiting", QUERY, LOOP)
    assert parts == (Part(cause="blocked, computing", culprit=PARSE, thread=LOOP, seconds=0.08),)


def test_the_other_way_round() -> None:
    assert seen(at(QUERY, slept=0.08), at(PARSE, held=2.0)) == ("blocked, computing", PARSE)


def test_a_cause_never_has_the_line_of_another() -> None:
    assert seen(at(PARSE, held=0.02, slept=0.3), at(QUERY, held=0.6)) == ("blocked, computing", QUERY)
    assert seen(at(None, slept=0.3), at(PARSE, held=0.1)) == ("blocked, waiting", None)


def test_a_wait_for_a_hog_has_the_hogs_line_and_a_sleep_the_loops() -> None:
    hog = at(PARSE, waited=0.05, contenders=(hogged(HOG, 0.05),))
    assert seen(hog, at(QUERY, slept=0.12)) == ("blocked, waiting", QUERY)
    hog = at(PARSE, waited=0.25, contenders=(hogged(HOG, 0.25),))
    main, _ = judged(hog, at(QUERY, slept=0.12))
    assert main is not None
    assert (main.cause, main.culprit, main.thread) == ("starved by a hog", HOG, POOL)


def test_a_loop_that_waits_for_a_new_thread_waits_for_the_hog_that_keeps_the_gil_from_it() -> None:
    starts = tuple(Frame(threading.__file__, 1, name) for name in ("Condition.wait", "Thread.start"))
    hog = replace(hogged(HOG, 0.0), held_while_loop_slept=0.28)
    segment = at(PARSE, slept=0.3, contenders=(hog,))
    assert seen(segment) == ("blocked, waiting", PARSE)
    assert seen(segment._replace(callback=(*starts, PARSE))) == ("starved by a hog", HOG)


def test_of_two_hogs_the_longer_is_named() -> None:
    first = at(PARSE, waited=0.3, contenders=(hogged(HOG, 0.3),))
    second = at(PARSE, waited=0.5, contenders=(hogged(OTHER_HOG, 0.5),))
    assert seen(first, second) == ("starved by a hog", OTHER_HOG)


def test_the_lines_of_one_function_are_compared_together() -> None:
    segments = [at(PARSE, held=0.2), at(LATER_IN_PARSE, held=0.3), at(WALK, held=0.4)]
    assert seen(*segments) == ("blocked, computing", LATER_IN_PARSE)


def test_a_wait_among_many_functions_that_compute_is_not_the_cause() -> None:
    computing = [at(Frame("/srv/app.py", line, f"step_{line}"), held=0.05) for line in range(16)]
    main, parts = judged(*computing, at(QUERY, slept=0.1))
    assert main is not None
    assert main.cause == "blocked, computing"
    assert parts[0].culprit == QUERY


def test_time_after_the_last_stacks_is_of_their_line_only_if_the_loop_did_the_same() -> None:
    main, parts = judged(at(PARSE, held=0.1), at(QUERY, slept=0.2), at(None, slept=0.3))
    assert main is not None
    assert (main.culprit, main.segment.callback) == (QUERY, (QUERY,))
    assert [part.culprit for part in parts] == [PARSE]
    assert seen(at(PARSE, held=0.2), at(None, slept=0.3)) == ("blocked, waiting", None)


def test_what_would_be_a_stall_by_itself_comes_before_what_prolongs_it() -> None:
    turns = tuple(contender(n, held=0.1, longest=0.005) for n in range(8))
    assert seen(at(PARSE, held=0.1, ran=0.1), at(QUERY, waited=0.8, switches=99, contenders=turns)) == (
        "blocked, computing",
        PARSE,
    )


def test_a_collection_in_one_of_several_lines() -> None:
    assert seen(at(PARSE, held=0.3, collected=0.29), at(QUERY, held=0.1)) == ("garbage collection", PARSE)
    assert seen(at(PARSE, held=0.3, collected=0.2), at(LATER_IN_PARSE, held=0.3)) == ("blocked, computing", PARSE)


def test_nothing_that_explains_half_of_a_stall_is_unknown() -> None:
    assert seen(at(PARSE, held=0.01, sampled=0.1)) == ("unknown", None)


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"prober_waited": 0.0001}, ("blocked, waiting", QUERY)),
        ({"prober_waited": 0.29, "contenders": (hogged(HOG, 0.3),)}, ("starved by a hog", HOG)),
        ({"prober_waited": 0.006, "switches": 60}, ("starved by turns", None)),
        ({}, ("unknown", None)),
    ],
)
def test_where_the_system_hides_what_a_thread_waits_for_the_prober_shows_it(
    figures: dict[str, Any], expected: tuple[str, Frame | None]
) -> None:
    assert seen(at(QUERY, unknown=0.3, **figures)) == expected


def test_without_the_gil_each_segment_is_judged_by_its_own_wait() -> None:
    segments = [
        at(PARSE, unknown=0.05, ran=0.08, prober_waited=0.005, sampled=0.08),
        at(QUERY, unknown=1.0, ran=0.0, prober_waited=0.0001),
    ]
    main, parts = longest(costs_without_gil(segments, LOOP, 0.05), duration=1.1, threshold=0.05)
    assert main is not None
    assert (main.cause, main.culprit) == ("blocked, waiting", QUERY)
    assert [(part.cause, part.culprit) for part in parts] == [("blocked, computing", PARSE)]


def test_a_run_queue_delay_that_is_counted_in_the_next_part_is_no_computing() -> None:
    segments = [at(PARSE, held=0.5, ran=0.05), at(QUERY, slept=0.1, held=0.01, queued=0.46)]
    main, parts = judged(*segments)
    assert main is not None
    assert (main.cause, main.culprit) == ("blocked, waiting", QUERY)
    assert parts[0].cause == "no CPU"
