from collections.abc import Callable

import pytest
from gilscope.demo import calibration, run
from gilscope.demo.cases import CASES, Case, matching
from gilscope.records.result import Measure, Plan, Trial

pytestmark = pytest.mark.thorough

SHORT = Plan(seconds=0.3, duration=0.05)
ALONE = {"python": 40e6, "held": 3e9, "released": 3e9}


def measured(trial: Trial) -> Measure:
    assert trial.measure is not None, trial.reason
    return trial.measure


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_does_its_work_beside_a_ticker(case: Case) -> None:
    trial = run.run(case, SHORT, ALONE)
    if case.unavailable:
        assert (trial.status, trial.reason) == ("unavailable", case.unavailable)
        return
    measure = measured(trial)
    assert measure.tasks >= 1
    assert measure.rate > 0
    assert measure.lag.due >= 29
    assert measure.cpu is None or measure.cpu > 0
    if case.strategy == "inline":  # the loop is blocked all the time
        assert measure.lag.came <= 2
        assert measure.lag.max is not None
        assert measure.lag.max > 0.25


def test_steps_are_calibrated_to_a_duration_or_given() -> None:
    case = matching(["thread/python"])[0]
    assert run.steps(case, Plan(duration=0.5), ALONE) == 20_000_000
    assert run.steps(case, Plan(count=7), ALONE) == 7


def test_native_kernels_are_calibrated_as_faster_than_python() -> None:
    alone = run.calibrate()
    assert set(alone) == {"python", "held", "released"}
    assert alone["held"] > 5 * alone["python"]
    assert alone["released"] > 5 * alone["python"]


def test_a_kernels_rate_is_the_median_of_rounds_in_which_the_kernels_take_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernels run on a clock of our own, on which one call of each is slow: a median of five rounds ignores it."""
    now = 0.0
    called: list[str] = []

    def kernel(name: str, slow_call: int) -> Callable[[int], int]:
        def count_down(count: int) -> int:
            nonlocal now
            called.append(name)
            now += count / 1e6 * (10 if called.count(name) == slow_call else 1)
            return count

        return count_down

    monkeypatch.setattr("time.thread_time", lambda: now)
    calls_to_find_the_count = 3  # of 1000, 4000 and 16 000 steps
    kernels = {"one": kernel("one", calls_to_find_the_count + 1), "other": kernel("other", calls_to_find_the_count + 3)}
    assert calibration.rates(kernels) == pytest.approx({"one": 1e6, "other": 1e6})
    assert called[2 * calls_to_find_the_count :] == ["one", "other"] * calibration.ROUNDS
