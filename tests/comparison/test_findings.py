"""Every finding of a comparison: stated if the figures support it, and only then."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import msgspec
import pytest
from gilscope.comparison.figures import ComparisonFigures
from gilscope.comparison.findings import RULES, findings
from gilscope.comparison.recommendation import recommend
from gilscope.comparison.travel_findings import REMEDIES
from gilscope.records import remedies
from gilscope.records.comparison import Failure
from gilscope.records.result import Baseline
from gilscope.records.verdict import sentences
from gilscope.reports.terminal import text
from gilscope.watch import cause

from tests.support.constructed import compared, measure, no_way, trials, verdict, way

if TYPE_CHECKING:
    from gilscope.records.result import Result, Trial

DOCS = Path(__file__).parents[2] / "docs" / "compare.md"


def names(result: Result) -> set[str]:
    return {finding.name for finding in findings(ComparisonFigures(result))}


def evidence(result: Result, name: str) -> str:
    return next(finding.evidence for finding in findings(ComparisonFigures(result)) if finding.name == name)


def test_a_short_call_is_too_short_to_matter_and_a_thread_costs_more() -> None:
    run = compared(verdict("hogs", 20e-6), way("process"))
    assert "too_short_to_matter" in names(run)
    assert evidence(run, "too_short_to_matter") == (
        "It takes 20.0 us, the loop's budget is 10.0 ms; an empty call in a thread takes 40.0 us."
    )
    assert "too_short_to_matter" not in names(compared(verdict("hogs", 0.02), way("process")))


def test_how_many_short_calls_are_too_many_is_a_round_number() -> None:
    run = ComparisonFigures(compared(verdict("hogs", 0.01 / 117612), way("process")))
    finding = next(it for it in findings(run) if it.name == "too_short_to_matter")
    assert finding.remedy == "Call it on the loop. More than 120 000 calls in one turn of the loop are too many."


def test_the_time_of_a_short_call_has_a_suitable_unit() -> None:
    run = compared(verdict("hogs", 3e-7), way("process"))
    row = next(line for line in text(run).splitlines() if line.startswith("inline x1"))
    assert " 300 ns " in row


@pytest.mark.parametrize(
    ("kind", "finding"),
    [
        ("releases", "threads_are_right"),
        ("hogs", "threads_stall_the_loop"),
        ("yields", "threads_starve_the_loop"),
        ("no GIL", "no_gil"),
    ],
)
def test_each_verdict_has_a_finding_on_threads(kind: str, finding: str) -> None:
    on_threads = {"threads_are_right", "threads_stall_the_loop", "threads_starve_the_loop", "no_gil"}
    assert names(compared(verdict(kind, 0.07), way("process"))) & on_threads == {finding}


def test_the_stall_of_a_hog_is_in_milliseconds() -> None:
    found = findings(ComparisonFigures(compared(verdict("hogs", 0.07), way("process"))))
    assert "In a thread pool it delays the loop by up to 70.0 ms." in [finding.claim for finding in found]


def test_a_call_that_releases_the_gil_and_in_between_too_briefly_says_how_long_a_thread_waits_for_it() -> None:
    often = compared(verdict("releases", 0.3, longest_hold=0.0005, longest_wait=0.12, starved=0.3), way("process"))
    (found,) = [finding for finding in findings(ComparisonFigures(often)) if finding.name == "releases_but_stalls"]
    assert "releases it too briefly for another thread to acquire it for up to 120 ms in between" in found.claim
    held = compared(verdict("releases", 0.3, longest_hold=0.12, long_holds=5, hogged=0.3), way("process"))
    assert "holds it for up to 120 ms in between" in " ".join(f.claim for f in findings(ComparisonFigures(held)))


def test_threads_that_add_nothing_are_a_finding_with_their_gain_and_those_that_add_are_not() -> None:
    flat = compared(verdict("yields", 0.07), way("process"), thread=trials("thread", 14.0, 14.7))
    assert evidence(flat, "threads_add_no_throughput") == "4 calls at once in threads do 1.05 times the calls of one."
    assert "threads_add_no_throughput" not in names(compared(verdict("releases", 0.07), way("process")))


def test_what_releases_the_gil_and_still_runs_one_at_a_time_has_a_lock_inside() -> None:
    locked = compared(verdict("releases", 0.07), way("process"), thread=trials("thread", 14.0, 14.0))
    assert "released_but_not_parallel" in names(locked)
    assert "released_but_not_parallel" not in names(compared(verdict("releases", 0.07), way("process")))


def test_threads_that_queued_for_a_core_do_not_prove_a_lock() -> None:
    queued = trials("thread", 14.0, 14.0)
    queued[1] = msgspec.structs.replace(queued[1], measure=measure(14.0, tasks=2, wanted=2.0))
    assert "released_but_not_parallel" not in names(compared(verdict("releases", 0.07), thread=queued))


def test_a_lock_around_a_wait_shows_without_a_core_to_spare() -> None:
    waits = verdict("releases", 0.1, cpu=0.0)
    assert "released_but_not_parallel" in names(compared(waits, thread=trials("thread", 10.0, 10.0), cores=1.0))
    assert "released_but_not_parallel" not in names(compared(waits, thread=trials("thread", 10.0, 40.0), cores=1.0))


def test_waiting_is_distinguished_from_computing() -> None:
    assert "it_waits" in names(compared(verdict("releases", 0.1, cpu=0.01)))
    assert "it_waits" not in names(compared(verdict("releases", 0.1, cpu=0.9)))


def test_an_overhead_larger_than_the_work_is_a_finding_with_both_figures() -> None:
    run = compared(verdict("hogs", 0.08), way("process", 0.15), way("interpreter", 0.05))
    assert evidence(run, "pool_costs_more_than_the_work") == (
        "An empty call with these arguments and this result takes 150 ms in process; the work takes 80.0 ms."
    )
    assert "pool_costs_more_than_the_work" not in names(compared(verdict("hogs", 0.08), way("process", 0.01)))


def test_pickling_longer_than_the_budget_is_a_finding_with_the_sizes() -> None:
    run = compared(
        verdict("hogs", 5.0), way("process", 0.2, unpickling=0.03, argument_bytes=4, result_bytes=100_000_000)
    )
    assert "unpickling the result (100 MB) takes 30.0 ms" in evidence(run, "too_large_to_pickle")
    assert "too_large_to_pickle" not in names(compared(verdict("hogs", 5.0), way("process", unpickling=0.009)))


def test_too_large_arguments_are_distinguished_from_a_too_large_result() -> None:
    found = findings(ComparisonFigures(compared(verdict("hogs", 5.0), way("process", 0.2, pickling=0.05))))
    assert "The arguments are too large to pickle within the budget." in [finding.claim for finding in found]


def test_a_failed_round_trip_is_reported_with_its_reason() -> None:
    run = compared(verdict("yields", 0.07), no_way("process", reason="it cannot be pickled: a lock"))
    assert evidence(run, "does_not_travel") == "process: it cannot be pickled: a lock."


def test_the_remedy_depends_on_the_failure_and_not_on_the_words_of_its_reason() -> None:
    for failure, remedy in REMEDIES.items():
        run = compared(verdict("yields", 0.07), no_way("process", failure, "No module named pickle under `if __name__"))
        assert [it.remedy for it in findings(ComparisonFigures(run)) if it.name == "does_not_travel"] == [remedy]


def test_every_failure_has_a_remedy_except_that_of_a_strategy_that_this_python_lacks() -> None:
    assert set(get_args(Failure)) - set(REMEDIES) == {"strategy unavailable"}
    run = compared(verdict("yields", 0.07), way("process"), no_way("interpreter", "strategy unavailable"))
    assert "does_not_travel" not in names(run)


def test_each_strategy_has_its_own_reason_and_its_own_remedy() -> None:
    lost, back = no_way("process", "not importable", "lost"), no_way("interpreter", "result cannot be pickled", "stuck")
    run = compared(verdict("yields", 0.07), lost, back)
    assert evidence(run, "does_not_travel") == "process: lost; interpreter: stuck."
    remedy = next(it.remedy for it in findings(ComparisonFigures(run)) if it.name == "does_not_travel")
    assert remedy == f"{REMEDIES['not importable']} Return plain data."


def test_an_answer_that_differs_is_the_first_finding() -> None:
    wrong = way("process", answer="differs", note="it returned 1, a call in the parent returned 2")
    found = findings(ComparisonFigures(compared(verdict("hogs", 0.07), wrong)))
    assert found[0].name == "the_answer_differs"
    assert found[0].evidence == "process: it returned 1, a call in the parent returned 2."


def test_interpreters_that_do_as_well_as_processes_are_a_finding_and_slower_ones_are_not() -> None:
    ways = way("process"), way("interpreter")
    assert "interpreters_instead_of_processes" in names(compared(verdict("yields", 0.07), *ways))
    slow = trials("interpreter", 14.0, 20.0)
    assert "interpreters_instead_of_processes" not in names(compared(verdict("yields", 0.07), *ways, others=slow))


def test_one_core_is_too_few_only_for_a_call_that_computes() -> None:
    assert "too_few_cores" in names(compared(verdict("releases", 0.07), cores=1.0))
    assert "too_few_cores" in names(compared(verdict("releases", 0.07), cores=1.5))
    assert "too_few_cores" not in names(compared(verdict("releases", 0.07), cores=2.0))
    assert "too_few_cores" not in names(compared(verdict("releases", 0.07, cpu=0.0), cores=1.0))


def test_a_busy_machine_is_a_finding_with_how_long_one_call_after_another_waited_for_a_core() -> None:
    run = compared(verdict("yields", 0.07), way("process"))
    assert "the_machine_was_busy" not in names(run)
    first = run.trials[0]
    assert first.measure is not None
    waited = msgspec.structs.replace(first, measure=msgspec.structs.replace(first.measure, cpu=0.6, queued=0.4))
    busy = msgspec.structs.replace(run, trials=[waited, *run.trials[1:]])
    assert evidence(busy, "the_machine_was_busy") == (
        "One call after another used 600 ms of CPU time and waited 400 ms for a core."
    )


def test_every_rule_has_a_section_in_the_docs() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in DOCS.read_text().splitlines()
        if line.startswith("#")
    }
    assert {rule.__name__.replace("_", "-") for rule in RULES} <= headings


@pytest.mark.parametrize("kind", ["hogs", "yields"])
def test_no_sentence_sends_a_short_call_elsewhere_than_the_recommendation(kind: str) -> None:
    printed = " ".join(text(compared(verdict(kind, 0.004), way("process"))).split())
    assert "Call it on the loop. A call takes 4.00 ms" in printed
    assert "use a process pool" not in printed
    assert "Run it in another process" not in printed


def test_conditions_of_a_recommendation_are_one_sentence() -> None:
    printed = " ".join(text(compared(verdict("hogs", 0.005), way("process"))).split())
    assert (
        "This changes if more than 2 calls run in one turn of the loop; or if a call takes longer than 10.0 ms."
        in printed
    )


def test_strategies_with_the_same_note_share_a_line() -> None:
    ways = [no_way(name, "cannot be pickled", "TypeError: cannot pickle it") for name in ("process", "interpreter")]
    assert "process and interpreter left out: TypeError: cannot pickle it\n" in text(
        compared(verdict("hogs", 0.07), *ways)
    )


def at_speed(trial: Trial, speed: float, cores: float, *, others: float = 0.0) -> Trial:
    """Give a trial a baseline, and a machine that did ``speed`` steps of it in a second of CPU time."""
    assert trial.measure is not None
    slices = Baseline(
        cores=float(trial.concurrency or 1),
        elapsed=[0.1] * 10,
        cpu=[0.1 * cores] * 10,
        queued=[0.0] * 10,
        rate=[speed] * 10,
        change=[0.0] * 10,
    )
    measure = msgspec.structs.replace(
        trial.measure, tasks=round(trial.measure.rate), baseline_slices=slices, others_share=others, idle_share=0.0
    )
    return msgspec.structs.replace(trial, measure=measure)


def test_the_gain_of_threads_does_not_depend_on_the_machines_speed_in_the_meantime() -> None:
    """The machine is twice as fast while four threads run, which do 1.9 times the calls of one."""
    one, two, four = trials("thread", 1000.0, 1900.0)
    measured = [at_speed(one, 1e9, 1.0), at_speed(two, 2e9, 1.0), at_speed(four, 2e9, 1.0)]
    run = ComparisonFigures(compared(verdict("hogs", 0.05), thread=measured))
    assert run.gain("thread") == pytest.approx(0.95)
    assert "threads_add_no_throughput" in names(run.result)


def test_a_speed_at_the_machines_typical_one_is_not_compared_with_a_measured_speed() -> None:
    """A pool that was stopped to measure its baseline is slower by that and by other programs; a user's executor is not."""
    pool = [at_speed(trial, 1e9, 4.0) for trial in trials("process", 20.0, 40.0)]
    busy = pool[-1].measure
    assert busy is not None
    assert busy.baseline_slices is not None
    cores = msgspec.structs.replace(busy.baseline_slices, cpu=[0.4] * 6 + [0.15] * 4)
    pool[-1] = msgspec.structs.replace(pool[-1], measure=msgspec.structs.replace(busy, baseline_slices=cores))
    ways = (way("process"), way("loky"))
    run = ComparisonFigures(compared(verdict("hogs", 0.07), *ways, others=[*pool, *trials("loky", 20.0, 60.0)]))
    converted = run.speeds(("process", 4))[0]
    assert converted == pytest.approx(53.3, abs=0.1)
    assert run.speeds(("process", 4), ("loky", 4)) == [40.0, 60.0]
    assert run.fastest(["process", "loky"]) == ["loky"]
    assert "loky" in recommend(run.result).where
    assert "within noise" not in recommend(run.result).because


def test_a_gain_is_not_known_if_a_baseline_was_lost() -> None:
    one, two, four = trials("thread", 1000.0, 1000.0)
    assert four.measure is not None
    lost = msgspec.structs.replace(four, measure=msgspec.structs.replace(four.measure, baseline_lost=True))
    for measured, known in (([one, two, four], True), ([at_speed(one, 1e9, 1.0), two, lost], False)):
        gain = ComparisonFigures(compared(verdict("hogs", 0.05), thread=measured)).gain("thread")
        assert (gain is not None) == known


def test_a_gain_that_the_busy_cores_cannot_have_done_is_none() -> None:
    one, two, four = trials("thread", 1000.0, 1900.0)
    measured = [at_speed(one, 1e9, 1.0), at_speed(two, 1e9, 1.0), at_speed(four, 1e9, 1.0)]
    assert ComparisonFigures(compared(verdict("hogs", 0.05), thread=measured)).gain("thread") is None


def test_other_programs_that_had_the_cores_leave_the_gain_of_threads_open_and_are_shown() -> None:
    one, two, four = trials("thread", 1000.0, 1000.0)
    measured = [at_speed(one, 1e9, 1.0), at_speed(two, 1e9, 1.0), at_speed(four, 1e9, 1.0, others=0.7)]
    result = compared(verdict("releases", 0.05), thread=measured)
    assert ComparisonFigures(result).gain("thread") is None
    shown = str(result)
    assert "? Do not rely on the calls/s of thread x4: other programs used the cores nearly all the time." in shown
    assert "?1000" in shown


def test_the_same_call_gets_one_remedy_from_compare_check_and_watch() -> None:
    found = {
        finding.name: finding
        for finding in findings(ComparisonFigures(compared(verdict("hogs", 0.07), way("process"))))
    }
    assert found["threads_stall_the_loop"].remedy == remedies.REMEDY["hogs"] == cause.REMEDY["starved by a hog"]
    assert sentences(verdict("hogs", 0.07))[-1] == remedies.REMEDY["hogs"]
    turns = {
        finding.name: finding
        for finding in findings(ComparisonFigures(compared(verdict("yields", 0.07), way("process"))))
    }
    assert turns["threads_starve_the_loop"].remedy.startswith(cause.REMEDY["blocked, computing"])
    assert sentences(verdict("yields", 0.07))[-1] == cause.REMEDY["blocked, computing"]
    assert remedies.REMEDY["hogs"].index("process pool") < remedies.REMEDY["hogs"].index("py.detach")
