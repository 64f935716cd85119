"""Where work should run: each choice, on constructed figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from gilscope.comparison.recommendation import recommend
from gilscope.records.remedies import REMEDY
from gilscope.records.verdict import remedy

from tests.support.constructed import compared, no_way, trials, verdict, way

if TYPE_CHECKING:
    from gilscope.records.comparison import Failure
    from gilscope.records.machine import Machine
    from gilscope.records.result import Result, Trial

BYTES = {"argument_bytes": 4, "result_bytes": 100_000_000}


def test_a_call_within_the_budget_belongs_on_the_loop_whatever_it_does_to_the_gil() -> None:
    for kind in ("hogs", "yields", "releases", "undecided"):
        assert recommend(compared(verdict(kind, 20e-6), way("process"))).where == "inline"


def test_the_budget_decides_what_is_short() -> None:
    five_ms = verdict("hogs", 0.005)
    assert recommend(compared(five_ms, way("process"), budget=0.01)).where == "inline"
    assert recommend(compared(five_ms, way("process"), budget=0.001)).where == "process"


@pytest.mark.parametrize(
    ("call", "late", "queued", "where"),
    [
        (0.0045, 0.0145, 0.0, "process"),
        (0.0045, 0.0090, 0.0, "inline"),
        (0.0030, 0.0145, 0.0, "inline"),  # three of them fit: something else was late
        (0.0045, 0.0145, 0.5, "inline"),  # on a busy machine the lag is not this call's
    ],
)
def test_a_call_that_was_measured_to_delay_the_loop_beyond_the_budget_is_not_short(
    call: float, late: float, queued: float, where: str
) -> None:
    run = compared(verdict("hogs", call), way("process"))
    others = [trial for trial in run.trials if trial.strategy != "inline"]
    measured = [
        msgspec.structs.replace(trial, measure=msgspec.structs.replace(trial.measure, queued=queued))
        for trial in trials("inline", 1 / call, 1 / call, late=late)
        if trial.measure is not None
    ]
    advice = recommend(_with_trials(run, measured + others))
    assert advice.where == where
    assert ("too_short_to_matter" in [finding.name for finding in advice.findings]) == (where == "inline")


def test_what_releases_the_gil_belongs_in_threads_even_where_processes_do_as_well() -> None:
    advice = recommend(compared(verdict("releases", 0.07), way("process"), way("interpreter")))
    assert advice.where == "thread"
    assert "3 workers: 4 cores, one of them for the loop" in advice.claim


def test_what_waits_belongs_in_as_many_threads_as_calls_wait() -> None:
    advice = recommend(compared(verdict("releases", 0.1, cpu=0.0), way("process")))
    assert advice.where == "thread"
    assert "as many workers as calls should wait" in advice.claim


@pytest.mark.parametrize("kind", ["hogs", "yields"])
def test_what_needs_the_gil_belongs_in_processes(kind: str) -> None:
    assert recommend(compared(verdict(kind, 0.07), way("process"))).where == "process"


def test_of_pools_within_noise_interpreters_are_preferred_and_the_tie_is_mentioned() -> None:
    advice = recommend(compared(verdict("yields", 0.07), way("process"), way("interpreter")))
    assert advice.where == "interpreter"
    assert "process is as fast within noise" in advice.because


def test_a_pool_that_does_more_is_preferred_to_one_that_is_cheaper_to_start() -> None:
    slow = trials("interpreter", 14.0, 30.0)
    advice = recommend(compared(verdict("yields", 0.07), way("process"), way("interpreter"), others=slow))
    assert advice.where == "process"
    assert "within noise" not in advice.because


def test_speeds_that_spread_widely_are_within_noise_at_a_distance_that_steady_ones_are_not() -> None:
    for spread, where in ((0.02, "process"), (0.40, "interpreter")):
        slower = trials("interpreter", 14.0, 40.0, spread=spread)
        run = compared(verdict("yields", 0.07), way("process"), way("interpreter"), others=slower)
        assert recommend(run).where == where


def test_a_hog_whose_result_costs_more_to_return_than_the_work_is_to_be_changed_first() -> None:
    parse = compared(verdict("hogs", 0.080), way("process", 0.150, unpickling=0.060))
    advice = recommend(parse)
    assert advice.where == ""
    assert "sends less data" in advice.unless[0]
    assert "the overhead of a process pool is 150 ms" in advice.because


def test_a_function_that_returns_100_mb_is_not_sent_to_a_process() -> None:
    assert recommend(compared(verdict("hogs", 0.050), way("process", 0.200, unpickling=0.030, **BYTES))).where == ""


def test_a_long_hog_with_a_large_result_still_gains_by_a_process() -> None:
    assert (
        recommend(compared(verdict("hogs", 5.0), way("process", 0.200, unpickling=0.030, **BYTES))).where == "process"
    )


def test_a_closure_that_yields_stays_in_one_thread_until_it_can_travel() -> None:
    advice = recommend(compared(verdict("yields", 0.07), no_way("process"), no_way("interpreter")))
    assert advice.where == "thread"
    assert "one thread" in advice.claim
    assert "top of a module" in advice.unless[0]


@pytest.mark.parametrize("failure", ["raised in worker", "result cannot be pickled", "worker died", "timed out"])
def test_a_call_that_reaches_a_worker_and_fails_there_must_run_there_to_go_to_a_pool(failure: Failure) -> None:
    advice = recommend(compared(verdict("yields", 0.07), no_way("process", failure)))
    assert advice.unless[0] == "it runs in a worker and returns plain data: then use a process pool"


def test_a_closure_that_hogs_for_short_times_takes_turns_with_the_loop_in_one_thread() -> None:
    in_turns = verdict("hogs", 0.07, longest_hold=0.004)
    advice = recommend(compared(in_turns, no_way("process")))
    assert advice.where == "thread"
    assert (
        "in a thread it keeps the loop waiting for the GIL for up to 4.00 ms at a time: the loop's p99 lag was 1.00 ms"
        in advice.because
    )


def test_the_cpu_time_of_the_overhead_decides_if_it_is_known() -> None:
    """On a busy machine a small overhead takes long, while the duration of the work is known all the same."""
    assert recommend(compared(verdict("hogs", 0.08), way("process", 0.2, overhead_cpu=0.01))).where == "process"
    assert recommend(compared(verdict("hogs", 0.08), way("process", 0.2))).where == ""


def test_an_undecided_verdict_on_a_long_call_is_said_to_be_undecided() -> None:
    unsure = verdict("undecided", 0.07)
    assert recommend(compared(unsure, way("process"))).where == "process"
    assert "is undecided" in recommend(compared(unsure, no_way("process"))).because


def test_a_closure_that_hogs_is_better_off_nowhere() -> None:
    advice = recommend(compared(verdict("hogs", 0.07), no_way("process"), no_way("interpreter")))
    assert advice.where == ""
    assert "top of a module" in advice.unless[0]


def test_an_interpreter_pool_takes_what_a_process_pool_does_not() -> None:
    assert recommend(compared(verdict("hogs", 0.07), no_way("process"), way("interpreter"))).where == "interpreter"


def test_without_a_gil_threads_do() -> None:
    assert recommend(compared(verdict("no GIL", 0.07), way("process"))).where == "thread"


def test_a_strategy_that_changes_the_answer_is_never_recommended() -> None:
    wrong = way("process", answer="differs", note="it returned 1, a call in the parent returned 2")
    assert recommend(compared(verdict("yields", 0.07), wrong)).where == "thread"


def test_a_strategy_whose_trial_died_is_never_recommended() -> None:
    run = compared(verdict("hogs", 0.07), way("process"))
    lost = [trial for trial in run.trials if trial.strategy != "process"]
    assert recommend(_with_trials(run, lost)).where == ""


@pytest.mark.parametrize("status", ["died", "timed out"])
def test_a_strategy_that_failed_is_never_recommended(status: Any) -> None:
    """Not where it would be the best, and not for want of a better one."""
    for kind, call, where in (("releases", 0.07, "thread"), ("yields", 0.07, "process"), ("hogs", 0.001, "inline")):
        run = compared(verdict(kind, call), way("process"))
        assert recommend(run).where == where
        lost = [
            msgspec.structs.replace(trial, status=status, measure=None, reason="exit status 1: ValueError: no such row")
            if (trial.strategy, trial.concurrency) == (where, 2)
            else trial
            for trial in run.trials
        ]
        assert recommend(_with_trials(run, lost)).where not in (where, "inline")
        assert run.comparison is not None
        trips = [
            no_way(trip.strategy, "raised in worker", "ValueError: no such row") if trip.strategy == where else trip
            for trip in run.comparison.round_trips
        ]
        left = msgspec.structs.replace(
            run, trials=[], comparison=msgspec.structs.replace(run.comparison, round_trips=trips)
        )
        assert recommend(left).where not in (where, "inline")


def test_a_call_that_fails_wherever_it_could_run_must_be_mended_first() -> None:
    failing = [no_way(name, "raised while loading", "no such row") for name in ("inline", "thread", "process")]
    run = compared(verdict("releases", 0.001), thread=[])
    assert run.comparison is not None
    advice = recommend(
        msgspec.structs.replace(run, trials=[], comparison=msgspec.structs.replace(run.comparison, round_trips=failing))
    )
    assert advice.where == ""
    assert advice.claim == "Mend the call before you move it: it fails under inline, thread and process."
    assert advice.because == "inline: no such row"


def test_a_call_that_computes_on_threads_of_its_own_needs_one_worker() -> None:
    """Its own thread waits meanwhile, so that by itself it looks like a call that waits."""
    waiting = verdict("releases", 0.1, cpu=0.02)
    run = compared(waiting, cores=2.0, thread=trials("thread", 10.0, 10.3, cores=1.9))
    alone = [trial for trial in run.trials if trial.strategy == "thread"]
    advice = recommend(_with_trials(run, alone))
    assert advice.where == "thread"
    assert advice.claim == "Give it to a thread pool with 1 worker: a call keeps 1.9 of 2 cores busy by itself."
    found = {finding.name for finding in advice.findings}
    assert "threads_of_its_own" in found
    assert not found & {"it_waits", "released_but_not_parallel", "threads_add_no_throughput"}
    sixteen = recommend(msgspec.structs.replace(_with_trials(run, alone), machine=_machine(16.0)))
    assert "with 7 workers: a call keeps 1.9 of 16 cores busy" in sixteen.claim


def test_releases_that_are_too_brief_stall_the_loop_from_a_thread_like_one_long_hold() -> None:
    brief = verdict(
        "hogs",
        0.5,
        reason="brief releases",
        hogged=0.0,
        longest_hold=0.0006,
        long_holds=0,
        longest_wait=0.48,
        starved=0.9,
    )
    assert recommend(compared(brief, way("process"))).where == "process"
    advice = recommend(compared(brief, no_way("process")))
    assert advice.where == ""
    assert "it keeps the loop waiting for the GIL for up to 480 ms at a time" in advice.because
    stalls = next(finding for finding in advice.findings if finding.name == "threads_stall_the_loop")
    assert stalls.claim == "In a thread pool it delays the loop by up to 480 ms."
    assert stalls.evidence.startswith("For 90% of a call it holds the GIL and does not release it for long enough")


def test_a_callable_that_releases_most_of_the_time_but_hogs_long_moves_to_a_process() -> None:
    mixed = verdict("releases", 0.1, released=0.6, hogged=0.4, longest_hold=0.04, long_holds=9)
    assert recommend(compared(mixed, way("process"))).where == "process"
    assert recommend(compared(mixed, no_way("process"))).where == "thread"


def test_a_hold_beyond_the_budget_in_every_call_is_a_stall_however_small_its_share() -> None:
    """Not where ``check`` says that an event loop stalls that long each time."""
    often = verdict("releases", 0.6, released=0.96, hogged=0.04, longest_hold=0.024, long_holds=10)
    assert recommend(compared(often, way("process"))).where == "process"
    advice = recommend(compared(often, no_way("process")))
    assert advice.where == "thread"
    assert "but it keeps the loop waiting for the GIL for up to 24.0 ms at a time" in advice.because
    assert "threads_are_right" not in [finding.name for finding in advice.findings]
    found = next(finding for finding in advice.findings if finding.name == "releases_but_stalls")
    assert found.remedy == REMEDY["long holds"] == remedy(often)
    for calm in (
        compared(often, way("process"), budget=0.03),
        compared(msgspec.structs.replace(often, long_holds=2), way("process")),
    ):
        assert recommend(calm).where == "thread"
        assert "threads_are_right" in [finding.name for finding in recommend(calm).findings]


def test_a_call_that_mostly_releases_and_starves_the_loop_by_brief_releases_never_keeps_it_free() -> None:
    starving = verdict("releases", 0.5, longest_hold=0.0006, longest_wait=0.2, starved=0.45)
    assert recommend(compared(starving, way("process"))).where == "process"
    advice = recommend(compared(starving, no_way("process")))
    assert "up to 200 ms at a time" in advice.because
    found = {finding.name: finding for finding in advice.findings}
    assert "threads_are_right" not in found
    assert found["releases_but_stalls"].remedy == REMEDY["brief releases"] == remedy(starving, max_hold=0.01)


def test_a_users_executor_is_recommended_if_it_does_more() -> None:
    run = compared(verdict("yields", 0.07), way("process"), way("loky"), others=trials("loky", 14.0, 100.0))
    assert recommend(run).where == "loky"


def test_a_users_threads_do_not_help_a_call_that_needs_the_gil() -> None:
    theirs = way("their threads", shared=True)
    assert recommend(compared(verdict("hogs", 0.07), theirs, no_way("process"))).where == ""


def _machine(cores: float) -> Machine:
    return msgspec.structs.replace(compared(verdict("releases", 0.1)).machine, cores=cores)


def _with_trials(run: Result, left: list[Trial]) -> Result:
    return msgspec.structs.replace(run, trials=left)
