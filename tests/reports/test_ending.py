"""A report says how the program ended and what was not watched; it is green only if all was watched and nothing stalled."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from gilscope.records.ending import Ending, UnfinishedStall
from gilscope.records.stall import Frame
from gilscope.records.watch_report import Holder, UnwatchedLoop, WatchReport
from gilscope.reports.terminal import text
from gilscope.reports.watch import is_all_clear
from gilscope.watch.responsive import failure

from tests.support.watched import distribution, stall, watched

NO_LOOP = {"lags": distribution(), "loop_runs": 0}


def seen(**changed: Any) -> WatchReport:
    report = watched()
    return msgspec.structs.replace(report, snapshot=msgspec.structs.replace(report.snapshot, **changed))


def test_threads_of_one_name_have_one_share() -> None:
    held_by = tuple(Holder(number, name, 0.4) for number, name in enumerate(["gilscope", "Main", "gilscope"]))
    assert "GIL: held 30% of the time (gilscope 20%, Main 10%)" in text(seen(held=1.2, held_by=held_by))


def test_a_program_whose_loops_were_all_watched_and_never_stalled_is_all_clear() -> None:
    assert is_all_clear(seen())
    assert text(seen()).endswith("\nno stall over 50.0 ms")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"children": 2}, "no stall over 50.0 ms in what was watched"),
        (
            {"unwatched_loops": (UnwatchedLoop("trio.run", "library"),)},
            "no stall over 50.0 ms in what was watched",
        ),
        (NO_LOOP, "whether a loop stalls is unknown: no event loop of this process was watched"),
    ],
)
def test_what_was_not_watched_is_never_all_clear(changed: dict[str, Any], sentence: str) -> None:
    assert not is_all_clear(seen(**changed))
    assert text(seen(**changed)).endswith(f"\n{sentence}")


def test_lost_stalls_and_stalls_that_were_not_over_are_not_all_clear() -> None:
    assert not is_all_clear(seen(lost=1))
    unfinished = Ending(kind="signal", signal="SIGKILL", stalls=(UnfinishedStall(thread="", so_far=1, culprit=None),))
    assert not is_all_clear(watched(ending=unfinished))
    assert not is_all_clear(watched(stall("no CPU", 1.0, 0.1)))


def test_a_stall_that_ended_just_before_the_figures_is_not_all_clear() -> None:
    late = msgspec.structs.replace(seen(lags=distribution(0.001, 0.9)), ending=Ending(kind="runs"))
    assert not is_all_clear(late)
    assert text(late).endswith("\none stall of 900 ms had ended, and its cause was not known yet")


def test_a_lag_over_the_threshold_without_a_stall_is_not_all_clear() -> None:
    not_judged = seen(lags=distribution(0.001, 0.9))
    assert not is_all_clear(not_judged)
    assert text(not_judged).endswith("\na lag of 900 ms was measured, but its stall was not judged")
    within_the_histograms_precision = seen(lags=distribution(0.001, 0.0504))
    assert is_all_clear(within_the_histograms_precision)


def test_beside_recorded_stalls_a_longer_lag_is_named() -> None:
    report = watched(stall("no CPU", 1.0, 0.1))
    assert "1 stall over 50.0 ms, 0.10 s in all:" in text(report)
    longer = msgspec.structs.replace(report.snapshot, lags=distribution(0.001, 0.1, 0.9))
    assert (
        "1 stall over 50.0 ms, 0.10 s in all; a lag of 900 ms was measured, but its stall was not judged:"
        in " ".join(text(msgspec.structs.replace(report, snapshot=longer)).split())
    )


def test_below_lost_stalls_it_never_says_that_there_was_none() -> None:
    said = text(seen(lost=2))
    assert "2 stalls could not be recorded" in said
    assert said.endswith("\nno other stall over 50.0 ms was seen")


@pytest.mark.parametrize(("children", "sentence"), [(0, "no event loop ran\n"), (2, "ran in this process\n")])
def test_where_no_event_loop_ran(children: int, sentence: str) -> None:
    assert sentence in text(seen(children=children, **NO_LOOP))


@pytest.mark.parametrize(
    ("changed", "lag"),
    [
        ({"lags": distribution(0.001, 0.9)}, "900 ms"),
        ({"lags": distribution(0.0502), "lost": 1}, "50.2 ms"),
        ({"lags": distribution(0.001, 0.0504)}, None),
        ({"lags": distribution()}, None),
    ],
)
def test_a_limit_fails_for_a_lag_whose_stall_was_not_judged(changed: dict[str, Any], lag: str | None) -> None:
    said = failure(seen(**changed).snapshot, 0.05)
    assert said == (
        lag
        and f"the event loop was late by more than 50.0 ms: a lag of {lag} was measured, but its stall was not judged"
    )


def test_a_server_that_only_starts_workers_is_told_how_to_watch_one() -> None:
    said = " ".join(text(seen(children=2, **NO_LOOP)).split())
    assert "2 child processes were started, but not watched: to watch what they do, run the program in one" in said


@pytest.mark.parametrize(
    ("ending", "sentence"),
    [
        (
            Ending(kind="signal", signal="SIGKILL", unseen=0.4),
            "the program was ended by SIGKILL; the figures end 400 ms",
        ),
        (Ending(kind="exit", status=3), "the program exited with status 3 without running its exit handlers"),
        (Ending(kind="exec"), "the program replaced itself by another program, which is not watched"),
        (Ending(kind="unknown"), "the program ended without running its exit handlers"),
        (Ending(kind="runs"), "the program runs on"),
        (
            Ending(
                kind="signal",
                signal="SIGTERM",
                stalls=(UnfinishedStall(thread="MainThread", so_far=5.25, culprit=Frame("/srv/a.py", 3, "f")),),
            ),
            "one stall was not over: 5.25 s so far at /srv/a.py:3 in f (thread MainThread)",
        ),
        (
            Ending(kind="signal", signal="SIGKILL", stalls=(UnfinishedStall(thread="", so_far=5.25, culprit=None),)),
            "one stall was not over: 5.25 s so far; the line was not sampled",
        ),
        (
            Ending(kind="hang", stalls=(UnfinishedStall(thread="MainThread", so_far=5.25, culprit=None),)),
            "one stall was not over: 5.25 s so far; its line is in the stacks above (thread MainThread)",
        ),
    ],
)
def test_an_ending_is_one_sentence(ending: Ending, sentence: str) -> None:
    assert sentence in " ".join(text(watched(ending=ending)).split())
