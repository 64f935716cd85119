"""Every finding of a comparison: stated where the figures bear it out, and only there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from gilscope.comparison.figures import Compared
from gilscope.comparison.findings import RULES, observations
from gilscope.comparison.travel import CAME_BACK

from tests.support.constructed import compared, measure, no_way, trials, verdict, way

if TYPE_CHECKING:
    from gilscope.records.result import Result

DOCS = Path(__file__).parents[2] / "docs" / "compare.md"


def names(result: Result) -> set[str]:
    return {finding.name for finding in observations(Compared(result))}


def evidence(result: Result, name: str) -> str:
    return next(finding.evidence for finding in observations(Compared(result)) if finding.name == name)


def test_a_short_call_is_too_short_to_matter_and_says_what_a_hand_over_costs() -> None:
    run = compared(verdict("hogs", 20e-6), way("process"))
    assert "too_short_to_matter" in names(run)
    assert evidence(run, "too_short_to_matter") == (
        "It takes 20.0 us, the loop's budget is 10.0 ms; to hand it to a thread takes 40.0 us."
    )
    assert "too_short_to_matter" not in names(compared(verdict("hogs", 0.02), way("process")))


def test_how_many_short_calls_are_too_many_is_told_roughly() -> None:
    run = Compared(compared(verdict("hogs", 0.01 / 117612), way("process")))
    finding = next(it for it in observations(run) if it.name == "too_short_to_matter")
    assert finding.remedy == "Call it on the loop. More than 120 000 calls in one turn are too many."


def test_the_time_of_a_short_call_is_shown_in_a_unit_that_shows_it() -> None:
    run = compared(verdict("hogs", 3e-7), way("process"))
    row = next(line for line in str(run).splitlines() if line.startswith("inline x1"))
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
def test_each_verdict_has_its_word_on_threads(kind: str, finding: str) -> None:
    on_threads = {"threads_are_right", "threads_stall_the_loop", "threads_starve_the_loop", "no_gil"}
    assert names(compared(verdict(kind, 0.07), way("process"))) & on_threads == {finding}


def test_the_stall_of_a_hog_is_told_in_milliseconds() -> None:
    findings = observations(Compared(compared(verdict("hogs", 0.07), way("process"))))
    assert "In a thread pool it delays the loop by up to 70.0 ms." in [finding.claim for finding in findings]


def test_threads_that_add_nothing_are_told_with_their_gain_and_those_that_add_are_not() -> None:
    flat = compared(verdict("yields", 0.07), way("process"), thread=trials("thread", 14.0, 14.7))
    assert evidence(flat, "threads_add_no_throughput") == "4 at once in threads do 1.05 times the calls of one."
    assert "threads_add_no_throughput" not in names(compared(verdict("releases", 0.07), way("process")))


def test_what_releases_the_gil_and_still_runs_one_at_a_time_has_a_lock_inside() -> None:
    locked = compared(verdict("releases", 0.07), way("process"), thread=trials("thread", 14.0, 14.0))
    assert "released_but_not_parallel" in names(locked)
    assert "released_but_not_parallel" not in names(compared(verdict("releases", 0.07), way("process")))


def test_threads_that_queued_for_a_processor_prove_no_lock() -> None:
    queued = trials("thread", 14.0, 14.0)
    queued[1] = msgspec.structs.replace(queued[1], measure=measure(14.0, tasks=2, wanted=2.0))
    assert "released_but_not_parallel" not in names(compared(verdict("releases", 0.07), thread=queued))


def test_a_lock_round_a_wait_shows_without_a_processor_to_spare() -> None:
    waits = verdict("releases", 0.1, cpu=0.0)
    assert "released_but_not_parallel" in names(compared(waits, thread=trials("thread", 10.0, 10.0), cores=1.0))
    assert "released_but_not_parallel" not in names(compared(waits, thread=trials("thread", 10.0, 40.0), cores=1.0))


def test_what_waits_is_told_from_what_computes() -> None:
    assert "it_waits" in names(compared(verdict("releases", 0.1, cpu=0.01)))
    assert "it_waits" not in names(compared(verdict("releases", 0.1, cpu=0.9)))


def test_a_way_that_costs_more_than_the_work_is_told_with_both_figures() -> None:
    run = compared(verdict("hogs", 0.08), way("process", 0.15), way("interpreter", 0.05))
    assert evidence(run, "pool_costs_more_than_the_work") == (
        "An empty call with these arguments and this result takes process 150 ms; the work 80.0 ms."
    )
    assert "pool_costs_more_than_the_work" not in names(compared(verdict("hogs", 0.08), way("process", 0.01)))


def test_pickling_longer_than_the_budget_is_told_with_the_sizes() -> None:
    run = compared(verdict("hogs", 5.0), way("process", 0.2, unpacking=0.03, arguments=4, result=100_000_000))
    assert "the result (100 MB) 30.0 ms" in evidence(run, "too_large_to_pickle").replace("unpickling ", "")
    assert "too_large_to_pickle" not in names(compared(verdict("hogs", 5.0), way("process", unpacking=0.009)))


def test_arguments_that_are_too_large_are_told_from_a_result_that_is() -> None:
    findings = observations(Compared(compared(verdict("hogs", 5.0), way("process", 0.2, packing=0.05))))
    assert "The arguments are too large to pickle cheaply." in [finding.claim for finding in findings]


def test_what_does_not_travel_is_told_with_the_reason() -> None:
    run = compared(verdict("yields", 0.07), no_way("process", "it cannot be pickled: a lock"))
    assert evidence(run, "does_not_travel") == "process: it cannot be pickled: a lock."


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("it cannot be pickled: Can't pickle local object <function f>", "Define the function at the top of a module"),
        ("it does not reach the worker: AttributeError: Can't get attribute 'f'", "Define the function at the top"),
        ("it cannot be pickled: cannot pickle '_thread.lock' object", "Pass plain data."),
        (f"{CAME_BACK}: TypeError: cannot pickle 'generator' object", "Return plain data."),
        (f"{CAME_BACK}: OSError: no display", "See to what the call raises there."),
        ("RuntimeError: put the call under `if __name__ == '__main__':`", "Put the call under `if __name__"),
    ],
)
def test_the_remedy_is_one_for_the_reason(reason: str, remedy: str) -> None:
    findings = observations(Compared(compared(verdict("yields", 0.07), no_way("process", reason))))
    told = next(finding.remedy for finding in findings if finding.name == "does_not_travel")
    assert told.startswith(remedy)


def test_each_strategy_has_its_own_reason_and_its_own_remedy() -> None:
    lost, back = "it cannot be pickled: Can't pickle local object", f"{CAME_BACK}: TypeError: cannot pickle a lock"
    run = compared(verdict("yields", 0.07), no_way("process", lost), no_way("interpreter", back))
    assert evidence(run, "does_not_travel") == f"process: {lost}; interpreter: {back}."


def test_a_strategy_that_this_python_lacks_is_not_the_callables_fault() -> None:
    run = compared(verdict("yields", 0.07), way("process"), no_way("interpreter", "from 3.14 on", unavailable=True))
    assert "does_not_travel" not in names(run)


def test_an_answer_that_differs_is_the_first_thing_told() -> None:
    wrong = way("process", answer="differs", note="it brought 1, a call in the parent 2")
    findings = observations(Compared(compared(verdict("hogs", 0.07), wrong)))
    assert findings[0].name == "the_answer_differs"
    assert findings[0].evidence == "process: it brought 1, a call in the parent 2."


def test_interpreters_that_do_as_well_as_processes_are_told_and_slower_ones_are_not() -> None:
    ways = way("process"), way("interpreter")
    assert "interpreters_instead_of_processes" in names(compared(verdict("yields", 0.07), *ways))
    slow = trials("interpreter", 14.0, 20.0)
    assert "interpreters_instead_of_processes" not in names(compared(verdict("yields", 0.07), *ways, others=slow))


def test_one_core_is_too_few_for_what_computes_only() -> None:
    assert "too_few_cores" in names(compared(verdict("releases", 0.07), cores=1.0))
    assert "too_few_cores" in names(compared(verdict("releases", 0.07), cores=1.5))
    assert "too_few_cores" not in names(compared(verdict("releases", 0.07), cores=2.0))
    assert "too_few_cores" not in names(compared(verdict("releases", 0.07, cpu=0.0), cores=1.0))


def test_a_busy_machine_is_told_with_how_long_it_kept_one_call_after_another_waiting() -> None:
    run = compared(verdict("yields", 0.07), way("process"))
    assert "the_machine_was_busy" not in names(run)
    first = run.trials[0]
    assert first.measure is not None
    waited = msgspec.structs.replace(first, measure=msgspec.structs.replace(first.measure, cpu=0.6, queued=0.4))
    busy = msgspec.structs.replace(run, trials=[waited, *run.trials[1:]])
    assert evidence(busy, "the_machine_was_busy") == (
        "One call after another computed for 600 ms and waited 400 ms for a processor."
    )


def test_every_rule_has_a_section_in_the_docs() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in DOCS.read_text().splitlines()
        if line.startswith("#")
    }
    assert {rule.__name__.replace("_", "-") for rule in RULES} <= headings
