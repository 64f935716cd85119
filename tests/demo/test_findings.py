from collections.abc import Callable

import pytest
from gilscope.demo.findings import findings, warnings
from gilscope.records.result import Plan, Result, Trial

Run = Callable[..., Result]
Finished = Callable[..., Trial]


def claims(result: Result) -> list[str]:
    return [finding.claim for finding in findings(result)]


@pytest.fixture
def textbook(run_of: Run, finished: Finished) -> Result:
    """A run on a quiet machine with a core to spare."""
    blocked = {"came": 1, "p50": 1.0, "p99": 1.98}
    return run_of(
        finished("inline/python", **blocked),
        finished("inline/held", **blocked),
        finished("inline/released", **blocked),
        finished("cooperative/python", p99=0.003, work=0.5),
        finished("thread/python", came=110, p50=0.009, p99=0.030, work=0.99),
        finished("thread/held", came=10, p50=0.1, p99=0.3, work=0.98),
        finished("thread/released", p99=0.002, work=1.97),
        finished("process/python", p99=0.003, work=1.95, start_up=0.3),
        cores=4.0,
    )


def test_the_textbook_run_has_every_finding_with_what_releasing_did_first(textbook: Result) -> None:
    assert claims(textbook) == [
        "Releasing the GIL is what makes a thread pool work for CPU-bound code.",
        "Releasing the GIL does not help on the loop's own thread.",
        "2 tasks that need the GIL do the work of one.",
        "Python in a thread pool looks harmless at one tick a second, and is not.",
        "A process pool keeps the loop free as well, at a price.",
        "Awaiting sleep(0) again and again frees the loop, and slows down the work.",
    ]


def test_every_finding_has_figures_and_a_remedy(textbook: Result) -> None:
    for finding in findings(textbook):
        assert any(character.isdigit() for character in finding.evidence)
        assert finding.remedy


def test_the_evidence_is_the_runs_own(textbook: Result) -> None:
    first = findings(textbook)[0].evidence
    assert "10 of 200 ticks came and the lag's p99 was 300 ms" in first
    assert "200 of 200 ticks came and the p99 was 2.00 ms" in first


def test_a_run_that_shows_nothing_claims_nothing(run_of: Run, finished: Finished) -> None:
    same = [finished(f"thread/{kernel}") for kernel in ("python", "held", "released")]
    assert claims(run_of(*same, finished("process/python"), finished("inline/released"))) == []


def test_a_case_that_did_not_finish_is_no_evidence(run_of: Run, finished: Finished) -> None:
    died = Trial(case="thread/released", count=1, status="died", reason="killed by SIGKILL")
    assert claims(run_of(finished("thread/held", came=1, p99=1.0), died)) == []


def test_no_difference_between_held_and_released_is_no_finding(run_of: Run, finished: Finished) -> None:
    assert claims(run_of(finished("thread/held", p99=0.010), finished("thread/released", p99=0.009), cores=4.0)) == []


def test_one_task_at_a_time_says_nothing_about_the_work_of_two(run_of: Run, finished: Finished) -> None:
    trials = [finished("thread/held"), finished("thread/released", work=1.9)]
    assert claims(run_of(*trials, plan=Plan(concurrency=1))) == []


def test_threads_that_added_nothing_even_when_released_are_not_blamed_on_the_gil(
    run_of: Run, finished: Finished
) -> None:
    assert claims(run_of(finished("thread/held", work=0.9), finished("thread/released", work=1.0))) == []


def test_a_loop_without_a_core_is_distinguished_from_one_without_the_gil(run_of: Run, finished: Finished) -> None:
    late = finished("thread/released", p99=0.012, work=1.9, cpu=3.9)
    assert claims(run_of(late, cores=2.0)) == ["No core was left for the loop."]
    assert claims(run_of(late, cores=4.0)) == []


def test_a_busy_machine_is_a_warning_and_not_taken_for_a_loop_without_a_core(run_of: Run, finished: Finished) -> None:
    result = run_of(finished("thread/released", p99=0.012, cpu=2.0))
    assert claims(result) == []
    assert warnings(result)[0].startswith(
        "Other programs were using this machine: thread/released got 1.00 of the 2 cores"
    )


def test_a_quiet_machine_is_no_reason_for_a_warning(textbook: Result) -> None:
    assert warnings(textbook) == []
