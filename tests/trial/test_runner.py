from gilscope.isolated.payload import Kernel
from gilscope.records.result import Plan
from gilscope.trial import runner
from gilscope.trial.request import NamedStrategy, TrialRequest


def test_an_idle_loop_is_on_time() -> None:
    trial = runner.idle(Plan(seconds=0.3))
    assert trial.measure is not None, trial.reason
    assert trial.measure.lag.due >= 29
    assert trial.measure.tasks == 0


def test_a_trial_that_does_not_end_in_time_says_so() -> None:
    endless = Kernel("gilscope:countdown_held", 2**63)
    request = TrialRequest(plan=Plan(seconds=0.1, timeout=1.5), strategy=NamedStrategy("thread"), work=endless)
    trial = runner.supervised("a name", request)
    assert (trial.case, trial.status, trial.reason) == ("a name", "timed out", "not done after 1.5 s")
    assert (trial.measure, trial.strategy, trial.count) == (None, "thread", 2**63)


def test_a_trial_that_cannot_start_has_died_with_its_reason() -> None:
    request = TrialRequest(plan=Plan(), strategy=NamedStrategy("thread"), work=Kernel("gilscope:no_such_function", 1))
    trial = runner.supervised("a name", request)
    assert trial.status == "died"
    assert "no_such_function" in trial.reason
