"""A report begins with how busy each loop was, and with what at which lines."""

from __future__ import annotations

import pytest
from gilscope.records.loop_time import ENDED_LOOPS, TimeTree
from gilscope.records.stall import Frame, Thread
from gilscope.reports.saturation import saturated
from gilscope.reports.terminal import text
from gilscope.reports.utilization import utilization
from gilscope.reports.watch import is_all_clear
from msgspec.structs import replace

from tests.support.busy import FRAMES, HANDLER, NEXT_LINE, PARSE, QUERY, SERVE, busy, loop_time, spent
from tests.support.watched import POOL, watched

HELD_AT = FRAMES.index(PARSE)
SATURATED = (loop_time(34.0, 26.0, saturated=31.0),)


def test_the_first_line_says_how_busy_the_loop_was_and_with_what_at_which_lines() -> None:
    (line,) = utilization(busy())
    assert line == (
        "loop 83% busy: 41% computing at /srv/app/orders.py:41 in handler, 22% waiting for the GIL held by asyncio_0 at "
        "/srv/app/parse.py:9, 9% blocked at /srv/app/db.py:7 in query, 6% no CPU"
    )


def test_code_that_is_in_no_file_is_named_with_its_function() -> None:
    """Dask's workers get their functions by pickle, all of them in the same place that is no file."""
    report = busy(spent("waiting for the GIL", 8.3, SERVE, HANDLER, holder="Dask-0", held_at=HELD_AT))
    assert report.time
    frames = (*FRAMES[:HELD_AT], Frame("<dynamic-code>", 5, "work"), *FRAMES[HELD_AT + 1 :])
    (line,) = utilization(replace(report, time=replace(report.time, frames=frames)))
    assert line == "loop 83% busy: 83% waiting for the GIL held by Dask-0 at <dynamic-code>:5 in work"


def test_it_breaks_at_commas_and_never_in_a_place() -> None:
    assert text(busy(), width=80).splitlines()[:5] == [
        "gilscope watch: 10.0 s of server.py",
        "loop 83% busy: 41% computing at /srv/app/orders.py:41 in handler,",
        "   22% waiting for the GIL held by asyncio_0 at /srv/app/parse.py:9,",
        "   9% blocked at /srv/app/db.py:7 in query, 6% no CPU",
        "loop lag: p50 1.00 ms, p99 1.00 ms, max 1.00 ms",
    ]
    assert list(utilization(busy(spent("computing", 8.0, HANDLER)), width=20)) == [
        "loop 83% busy:",
        "   80% computing at /srv/app/orders.py:41 in handler",
    ]


def test_what_took_less_than_a_twentieth_of_the_time_is_left_out() -> None:
    little = spent("computing", 0.49, HANDLER)
    assert list(utilization(busy(little, loops=(loop_time(0.49, 9.51),)))) == ["loop 5% busy"]


def test_neighbouring_lines_of_a_function_count_as_one_at_the_costliest() -> None:
    report = busy(spent("computing", 1.0, SERVE, HANDLER), spent("computing", 3.0, SERVE, NEXT_LINE))
    assert list(utilization(report)) == ["loop 83% busy: 40% computing at /srv/app/orders.py:43 in handler"]


def test_all_lines_of_a_librarys_function_count_as_one_without_the_folder_of_the_package() -> None:
    report = busy(spent("computing", 1.0, SERVE, HANDLER), spent("computing", 3.0, SERVE, QUERY))
    assert report.time is not None
    folder = "/opt/venv/lib/python3.13/site-packages/fastapi"
    library = [Frame(f"{folder}/encoders.py", line, "jsonable_encoder") for line in (200, 300)]
    frames = tuple({HANDLER: library[0], QUERY: library[1]}.get(frame, frame) for frame in FRAMES)
    assert list(utilization(replace(report, time=replace(report.time, frames=frames)))) == [
        "loop 83% busy: 40% computing at fastapi/encoders.py:300 in jsonable_encoder"
    ]


def test_a_comprehension_counts_to_the_function_that_it_is_in() -> None:
    report = busy(spent("computing", 3.0, SERVE, HANDLER), spent("computing", 1.0, SERVE, QUERY))
    assert report.time is not None
    inner = Frame(HANDLER.file, HANDLER.line, "handler.<locals>.<genexpr>")
    frames = tuple(inner if frame == QUERY else frame for frame in FRAMES)
    assert list(utilization(replace(report, time=replace(report.time, frames=frames)))) == [
        "loop 83% busy: 40% computing at /srv/app/orders.py:41 in handler"
    ]


def test_threads_that_held_the_gil_at_one_line_count_as_one_and_the_longest_holder_is_named() -> None:
    held = [
        spent("waiting for the GIL", 0.4 + number / 10, HANDLER, holder=f"asyncio_{number}", held_at=HELD_AT)
        for number in range(3)
    ]
    (line,) = utilization(busy(*held))
    assert line == "loop 83% busy: 15% waiting for the GIL held by asyncio_2 and 2 other threads at /srv/app/parse.py:9"


@pytest.mark.parametrize(
    ("stack", "said"),
    [
        (spent("waiting for the GIL", 4.0, HANDLER), "waiting for the GIL"),
        (spent("waiting for the GIL", 4.0, HANDLER, holder="pool_0"), "waiting for the GIL held by pool_0"),
        (spent("computing", 4.0), "computing at a line that was not sampled"),
        (spent("computing", 4.0, SERVE, QUERY, culprit=None), "computing at /srv/app/db.py:7 in query"),
        (spent("unknown", 4.0, HANDLER), "unknown"),
    ],
)
def test_what_was_not_seen_is_not_made_up(stack: object, said: str) -> None:
    report = busy()
    tree = TimeTree(frames=FRAMES, stacks=(stack,))  # type: ignore[arg-type]
    assert list(utilization(replace(report, time=tree))) == [f"loop 83% busy: 40% {said}"]


def test_several_loops_have_a_line_each_with_their_thread_the_busiest_first() -> None:
    loops = (loop_time(1.0, 9.0, thread=POOL), loop_time(5.0, 5.0, loop=2), loop_time(3.0, 7.0, loop=3))
    report = busy(spent("computing", 4.0, HANDLER, loop=2), loops=loops)
    assert list(utilization(report)) == [
        "2 loops of MainThread 40% busy: 20% computing at /srv/app/orders.py:41 in handler",
        "loop of pool_0 10% busy",
    ]


def test_the_moment_for_which_asyncio_runs_a_loop_again_at_its_end_is_not_another_loop() -> None:
    again = loop_time(0.002, 0.0, loop=2)
    (line,) = utilization(busy(spent("computing", 8.0, HANDLER), loops=(loop_time(8.3, 1.7), again)))
    assert line.startswith("loop 83% busy: ")


def test_loops_that_have_ended_and_share_their_time_are_called_so() -> None:
    ended = loop_time(5.0, 5.0, loop=ENDED_LOOPS, thread=Thread(0, None))
    report = busy(spent("computing", 0.1, HANDLER), loops=(ended, loop_time(1.0, 3.0, loop=70)))
    assert list(utilization(report)) == [
        "loops that have ended 50% busy",
        "loop of MainThread 25% busy",
    ]


def test_many_loops_are_counted() -> None:
    loops = tuple(loop_time(1.0, 9.0 + loop, loop=loop, thread=Thread(loop, None)) for loop in range(1, 8))
    *shown, rest = utilization(busy(loops=loops))
    assert (len(shown), rest) == (5, "2 other loops, 6% busy at most")


def test_a_report_of_an_older_version_says_nothing_of_it() -> None:
    assert list(utilization(watched())) == []
    assert list(utilization(replace(busy(), time=None))) == ["loop 83% busy"]


def test_a_saturated_loop_is_a_finding_with_the_three_lines_that_cost_most_and_a_remedy() -> None:
    (finding,) = saturated(busy(loops=SATURATED, elapsed=60.0))
    assert finding.claim == "saturated: loop over 90% busy for 31.0 s of 60.0 s"
    assert [line.split(" at ")[0] for line in finding.lines] == [
        "7% computing",
        "4% waiting for the GIL held by asyncio_0",
        "2% blocked",
    ]
    assert "in a process pool" in finding.remedy
    assert finding.claim in text(busy(loops=SATURATED))


@pytest.mark.parametrize(
    ("busy_seconds", "asleep", "found"), [(9.5, 0.5, True), (9.4, 0.5, False), (9.0, 1.0, False), (90.0, 11.0, False)]
)
def test_a_loop_is_saturated_that_was_over_90_percent_busy_for_10_seconds(
    busy_seconds: float, asleep: float, *, found: bool
) -> None:
    report = busy(loops=(loop_time(busy_seconds, asleep),))
    assert any(saturated(report)) is found
    assert is_all_clear(report) is not found


def test_a_loop_without_stacks_can_be_saturated_too() -> None:
    (finding,) = saturated(replace(busy(loops=SATURATED), time=None))
    assert finding.lines == ()
