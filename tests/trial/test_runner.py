import pytest
from gilscope.demo import calibration
from gilscope.demo.cases import CASES, Case, matching
from gilscope.records.result import Measure, Plan, Trial
from gilscope.trial import runner as experiment

SHORT = Plan(seconds=0.3, duration=0.05)
ALONE = {"python": 40e6, "held": 3e9, "released": 3e9}


def measured(trial: Trial) -> Measure:
    assert trial.measure is not None, trial.reason
    return trial.measure


def test_an_idle_loop_is_on_time() -> None:
    measure = measured(experiment.idle(SHORT))
    assert measure.lag.due >= 29
    assert measure.tasks == 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_does_its_work_beside_a_ticker(case: Case) -> None:
    trial = experiment.run(case, SHORT, ALONE)
    if case.unavailable:
        assert (trial.status, trial.reason) == ("unavailable", case.unavailable)
        return
    measure = measured(trial)
    assert measure.tasks >= 1
    assert measure.rate > 0
    assert measure.lag.due >= 29
    assert measure.cpu is None or measure.cpu > 0


@pytest.mark.parametrize("kernel", ["python", "held", "released"])
def test_a_loop_that_is_blocked_all_the_time_reports_that(kernel: str) -> None:
    measure = measured(experiment.run(matching([f"inline/{kernel}"])[0], SHORT, ALONE))
    assert measure.lag.came <= 2
    assert measure.lag.due >= 29
    assert measure.lag.max is not None
    assert measure.lag.max > 0.25


def test_steps_are_calibrated_to_a_duration_or_given() -> None:
    case = matching(["thread/python"])[0]
    assert experiment.steps(case, Plan(duration=0.5), ALONE) == 20_000_000
    assert experiment.steps(case, Plan(count=7), ALONE) == 7


def test_a_case_that_does_not_end_in_time_is_a_trial_that_says_so() -> None:
    trial = experiment.run(matching(["thread/held"])[0], Plan(seconds=0.1, count=2**63, timeout=1.5), ALONE)
    assert (trial.status, trial.reason, trial.measure) == ("timed out", "not done after 1.5 s", None)


def test_a_case_that_cannot_start_is_a_trial_that_died_with_its_reason() -> None:
    broken = Case("thread", "python", "no_such_function", "")
    trial = experiment.run(broken, SHORT, ALONE)
    assert trial.status == "died"
    assert "no_such_function" in trial.reason


def test_calibration_tells_native_from_python() -> None:
    alone = experiment.calibrate()
    assert set(alone) == {"python", "held", "released"}
    assert alone["held"] > 5 * alone["python"]
    assert alone["released"] > 5 * alone["python"]


def test_a_kernels_rate_is_the_median_of_rounds_that_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that takes its steps' time on a clock of our own, and every third time twice as long."""
    now = [0.0]
    calls = [0]

    def kernel(count: int) -> int:
        calls[0] += 1
        now[0] += count / 1e6 * (2 if calls[0] % 3 == 0 else 1)
        return count

    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    assert calibration.rates({"it": kernel})["it"] == pytest.approx(1e6)
    assert calibration.ROUNDS >= 3
