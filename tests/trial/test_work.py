"""The work of a trial: what it did in a CPU second, times the cores that it kept busy."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from gilscope.demo.findings import findings
from gilscope.records.result import Baseline, Measure, Result, Trial
from gilscope.trial.work import BUSY, SHARED, Work, undisturbed_work, work, work_without_baseline

Run = Callable[..., Result]
Finished = Callable[..., Trial]
Sliced = Callable[..., Trial]
SLICE = 0.1


@pytest.fixture
def sliced(finished: Finished) -> Sliced:
    """Return a function that makes a trial from the busy cores and the baseline's rate in each slice."""

    def make(
        case: str,
        cores: list[float],
        rates: list[float],
        *,
        wanted: float,
        efficiency: float = 1.0,
        changes: float = 0.0,
        queued: float = 0.0,
        gain: float = 1.0,
    ) -> Trial:
        cpu = [busy * SLICE for busy in cores]
        steps = efficiency * gain * sum(used * rate for used, rate in zip(cpu, rates, strict=True))
        baseline = Baseline(
            cores=wanted,
            elapsed=[SLICE] * len(cores),
            cpu=cpu,
            queued=[queued * SLICE] * len(cores),
            rate=rates,
            change=[changes] * len(cores),
            together=[gain * rate for rate in rates],
        )
        trial = finished(case)
        assert trial.measure is not None
        measure = msgspec.structs.replace(trial.measure, tasks=1000, baseline_slices=baseline)
        return msgspec.structs.replace(trial, count=round(steps / 1000), measure=measure)

    return make


def of(trial: Trial) -> Work:
    figure = work(trial)
    assert figure is not None
    return figure


def test_a_machine_that_halves_its_speed_within_the_trial_changes_nothing(sliced: Sliced) -> None:
    steady = of(sliced("thread/held", [1.0] * 20, [2e9] * 20, wanted=1.0))
    halved = of(sliced("thread/held", [1.0] * 20, [2e9] * 10 + [1e9] * 10, wanted=1.0))
    assert steady.value == halved.value == pytest.approx(1.0)
    assert steady.doubt == halved.doubt == ""


def test_slices_in_which_other_programs_had_the_cores_do_not_count(sliced: Sliced) -> None:
    figure = of(sliced("thread/released", [1.0] * 13 + [1.98] * 7, [2e9] * 20, wanted=2.0))
    assert (figure.value, figure.cores) == pytest.approx((1.98, 1.98))
    assert figure.doubt == ""


def test_a_trial_without_enough_good_slices_is_doubtful_and_shows_what_it_did(sliced: Sliced) -> None:
    figure = of(sliced("thread/released", [1.0] * 16 + [1.98] * 4, [2e9] * 20, wanted=2.0))
    assert (figure.value, figure.cores) == pytest.approx((1.0, 1.0))
    assert figure.doubt == "other programs used the cores nearly all the time"


def test_a_trial_with_few_slices_ran_too_briefly_and_is_not_blamed_on_other_programs(sliced: Sliced) -> None:
    figure = of(sliced("thread/held", [1.0] * 4, [2e9] * 4, wanted=1.0))
    assert figure.doubt == "it ran too briefly: give --seconds 1 or more"


def test_one_long_slice_does_not_make_the_others_too_short(sliced: Sliced) -> None:
    trial = sliced("thread/held", [1.0] * 20, [2e9] * 20, wanted=1.0)
    assert trial.measure is not None
    assert trial.measure.baseline_slices is not None
    longer = msgspec.structs.replace(
        trial.measure.baseline_slices, elapsed=[SLICE] * 19 + [100.0], cpu=[SLICE] * 19 + [100.0]
    )
    measure = msgspec.structs.replace(trial.measure, baseline_slices=longer)
    assert of(msgspec.structs.replace(trial, measure=measure)).doubt == ""


def test_tasks_that_cost_more_than_the_baseline_do_less_work(sliced: Sliced) -> None:
    figure = of(sliced("cooperative/python", [1.0] * 20, [2e7] * 20, wanted=1.0, efficiency=0.6))
    assert (figure.value, figure.cores) == pytest.approx((0.6, 1.0))
    assert figure.doubt == ""


def test_the_spread_is_that_of_the_slices_and_of_the_baseline(sliced: Sliced) -> None:
    uneven = of(sliced("thread/released", [1.8, 1.9, 2.0] * 6, [2e9] * 18, wanted=2.0))
    assert (uneven.low, uneven.value, uneven.high) == pytest.approx((1.8, 1.9, 2.0), abs=0.05)
    moving = of(sliced("thread/held", [1.0] * 20, [2e9] * 20, wanted=1.0, changes=0.4))
    assert (moving.low, moving.high) == pytest.approx((1 - 0.2 / 20**0.5, 1 + 0.2 / 20**0.5))
    assert moving.doubt == ""


def test_a_baseline_that_moved_within_most_slices_is_too_uncertain(sliced: Sliced) -> None:
    figure = of(sliced("thread/held", [1.0] * 5, [2e9] * 5, wanted=1.0, changes=0.5))
    assert figure.doubt == "the machine's speed changed too often: the baseline is uncertain by more than 15%"


def test_more_work_than_the_busy_cores_can_do_is_doubtful(sliced: Sliced, finished: Finished) -> None:
    figure = of(sliced("inline/held", [1.0] * 20, [2e9] * 20, wanted=1.0, efficiency=1.66))
    assert figure.doubt.startswith("it is more than the busy cores can do")
    measure = finished("process/python", work=3.14, cpu=2 * 1.98).measure
    assert isinstance(measure, Measure)
    assert work_without_baseline(measure, 1000.0).doubt == figure.doubt


def test_a_trial_without_a_baseline_of_its_own_is_compared_with_the_runs(finished: Finished) -> None:
    assert work(finished("thread/held")) is None
    measure = finished("thread/held", work=0.9, cpu=2.0).measure
    assert isinstance(measure, Measure)
    assert work_without_baseline(measure, 1000.0) == Work(0.9, 0.9, 0.9, 1.0)


def test_work_is_doubtful_if_the_baseline_within_the_trial_was_lost(run_of: Run, finished: Finished) -> None:
    trials = [finished(case, cpu=2.0) for case in ("thread/held", "thread/released")]
    assert "one_gil_does_the_work_of_one" not in [finding.name for finding in findings(run_of(*trials))]
    trials[1] = finished("thread/released", work=1.9)
    assert "one_gil_does_the_work_of_one" in [finding.name for finding in findings(run_of(*trials))]
    lost = [
        msgspec.structs.replace(trial, measure=msgspec.structs.replace(trial.measure, baseline_lost=True))
        for trial in trials
        if trial.measure is not None
    ]
    assert "one_gil_does_the_work_of_one" not in [finding.name for finding in findings(run_of(*lost))]
    assert "? Do not rely on the work of thread/held and thread/released: one task alone could not" in str(
        run_of(*lost)
    )


def test_no_finding_rests_on_doubtful_work(run_of: Run, sliced: Sliced) -> None:
    held = sliced("thread/held", [1.0] * 20, [2e9] * 20, wanted=1.0)
    for free, expected in (([1.98] * 20, True), ([1.98] * 4 + [1.75] * 16, False)):
        moved = 0.0 if expected else 0.9
        released = sliced("thread/released", free, [2e9] * 20, wanted=2.0, changes=moved)
        assert claims_one_gil(run_of(held, released, cores=2.0)) is expected


def claims_one_gil(result: Result) -> bool:
    return "2 tasks that need the GIL do the work of one." in [finding.claim for finding in findings(result)]


def test_on_a_busy_machine_the_time_in_which_threads_waited_for_a_core_is_left_out(run_of: Run, sliced: Sliced) -> None:
    held = sliced("thread/held", [0.4] * 20, [2e9] * 20, wanted=1.0, queued=0.62)
    released = sliced("thread/released", [0.5] * 20, [2e9] * 20, wanted=2.0, queued=1.47)
    result = run_of(held, released, cores=2.0)
    assert (undisturbed_work(held), undisturbed_work(released)) == pytest.approx((1.02, 1.97))
    assert [of(held).doubt, of(released).doubt] == [BUSY, BUSY]
    evidence = next(finding.evidence for finding in findings(result) if "need the GIL" in finding.claim)
    assert evidence == (
        "Work a second, relative to one task alone, if thread/held and thread/released had had a whole core whenever they "
        "wanted one: thread/held 1.02, thread/released 1.97."
    )


def test_tasks_on_the_threads_of_one_physical_core_do_less_work_and_the_gil_is_not_blamed(
    run_of: Run, sliced: Sliced
) -> None:
    released = sliced("thread/released", [1.98] * 20, [2e9] * 20, wanted=2.0, gain=0.55)
    assert of(released).value == pytest.approx(1.98 * 0.55)
    assert of(released).doubt == SHARED
    assert undisturbed_work(released) == pytest.approx(1.98)
    assert claims_one_gil(run_of(sliced("thread/held", [1.0] * 20, [2e9] * 20, wanted=1.0), released, cores=2.0))


def test_a_core_that_is_shared_for_a_few_slices_changes_little(sliced: Sliced) -> None:
    """The steps of a trial are known only in all: what it did in those slices is expected from tasks on all cores at once."""
    trial = sliced("thread/released", [2.0] * 20, [2e9] * 20, wanted=2.0)
    assert trial.measure is not None
    assert trial.measure.baseline_slices is not None
    together = [1e9] * 2 + [2e9] * 18
    baseline = msgspec.structs.replace(trial.measure.baseline_slices, together=together)
    measure = msgspec.structs.replace(trial.measure, baseline_slices=baseline)
    figure = of(msgspec.structs.replace(trial, count=round(trial.count * 0.95), measure=measure))
    assert figure.value == pytest.approx(1.9)
    assert figure.doubt == ""


def test_python_threads_that_queued_are_no_evidence_because_waiting_for_the_gil_makes_them_queue(
    run_of: Run, sliced: Sliced
) -> None:
    python = sliced("thread/python", [0.4] * 20, [2e9] * 20, wanted=1.0, queued=0.6)
    released = sliced("thread/released", [0.5] * 20, [2e9] * 20, wanted=2.0, queued=1.47)
    assert not claims_one_gil(run_of(python, released, cores=2.0))
