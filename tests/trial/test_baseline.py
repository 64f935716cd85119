"""One task alone, measured while the trial is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from io import BytesIO, StringIO
from time import thread_time
from typing import TYPE_CHECKING

import pytest
from gilscope.isolated.payload import Kernel
from gilscope.records.result import Measure, Plan
from gilscope.trial import baseline_process
from gilscope.trial.baseline import BaselineProcess
from gilscope.trial.baseline_process import BaselineTask, Trial
from gilscope.trial.clock import MAX_PAUSES, Pauses
from gilscope.trial.cpu_time import times
from gilscope.trial.request import NamedStrategy, TrialRequest
from gilscope.trial.runner import supervised

from tests.support import child

if TYPE_CHECKING:
    from pathlib import Path

COUNTDOWN = "gilscope:countdown_released"
STEPS = 20_000_000
"""A task of about 10 ms."""


def measured(task: BaselineTask, *, strategy: str = "thread", seconds: float = 0.4) -> Measure:
    request = TrialRequest(
        plan=Plan(seconds=seconds), strategy=NamedStrategy(strategy), work=Kernel(COUNTDOWN, STEPS), baseline=task
    )
    trial = supervised("released", request)
    assert trial.measure is not None, trial.reason
    return trial.measure


@pytest.mark.parametrize("strategy", ["thread", "process"])
def test_a_cpu_second_of_a_trial_does_the_steps_of_a_cpu_second_of_one_task_alone(strategy: str) -> None:
    measure = measured(BaselineTask(function=COUNTDOWN, count=STEPS // 4, cores=2.0), strategy=strategy, seconds=1.5)
    baseline = measure.baseline_slices
    assert baseline is not None
    assert len(baseline.elapsed) >= 3
    # The last slice ends when the ticker has stopped: on a busy machine some turns of the scheduler after the trial.
    assert 0.9 * measure.elapsed <= sum(baseline.elapsed) <= measure.elapsed + 0.1
    alone = sum(cpu * rate for cpu, rate in zip(baseline.cpu, baseline.rate, strict=True))
    # A tenth for the loop, the workers' start of a task, and a machine whose speed moves; the kernels are 70-fold apart.
    assert measure.tasks * STEPS == pytest.approx(alone, rel=0.4)


def test_the_time_for_which_a_trial_is_stopped_is_neither_lag_nor_work() -> None:
    """The trial is stopped for about 80 ms at a time, eight times as long as its ticks are apart."""
    long = BaselineTask(function=COUNTDOWN, count=8 * STEPS, cores=2.0)
    measure = measured(long, seconds=0.2)
    assert measure.lag.p50 is not None
    assert measure.lag.p50 < 0.05
    assert measure.lag.due <= measure.elapsed / 0.01 + 1
    assert all(end <= measure.elapsed + 0.001 for lane in measure.lanes for end in lane.end)


def test_a_baseline_that_cannot_be_measured_is_missing_and_the_trial_runs() -> None:
    measure = measured(BaselineTask(function="gilscope:no_such_kernel", count=1, cores=1.0), seconds=0.1)
    assert measure.baseline_slices is None
    assert measure.baseline_lost
    assert measure.tasks > 0


KILLED = """
import os, signal
from gilscope.trial.baseline import forked
from gilscope.trial.baseline_process import BaselineTask

task = BaselineTask(function="gilscope:countdown_released", count=1, cores=1.0)
with forked(task) as process:
    process.begin([])
    os.kill(process.pids[0], signal.SIGKILL)
    print(process.end(), process.cpu_time())
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
with forked(task) as process:
    process.begin([])
print("the trial goes on")
"""


def test_a_trial_survives_the_end_of_the_process_that_measures_its_baseline() -> None:
    assert child.output(KILLED)[1:] == ["the trial goes on"]


FORKED = """
import os, signal, time
from gilscope.trial.baseline import forked
from gilscope.trial.baseline_process import BaselineTask

with forked(BaselineTask(function="gilscope:countdown_released", count=1, cores=1.0)) as process:
    if BEGUN:
        process.begin([os.getpid()])
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        print("no child")
    worker = os.fork()
    if worker == 0:
        os.close(1), os.close(2)
        time.sleep(60)
    print(process.pids[0], worker, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("begun", [False, True])
def test_the_process_that_measures_is_no_child_of_the_trial_and_ends_with_it(*, begun: bool) -> None:
    """Code that waits until all of its children have ended must not wait for ever; a worker keeps the pipes open."""
    ended = child.run(FORKED.replace("BEGUN", str(begun)))
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    none, pids = ended.stdout.splitlines()
    measuring, worker = map(int, pids.split())
    try:
        assert none == "no child"
        child.wait_until_gone(measuring)
    finally:
        os.kill(worker, signal.SIGKILL)


def test_only_the_trials_own_process_group_is_stopped() -> None:
    """A server that the trial's code started in a session of its own would stay stopped if the trial was killed in a pause."""
    request, pauses = BytesIO(), Pauses()
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    ours, server, ended = (subprocess.Popen(sleep, start_new_session=own) for own in (False, True, False))
    ended.kill()
    ended.wait()
    try:
        pids = [os.getpid(), server.pid, ended.pid, ours.pid]
        BaselineProcess(os.getpid(), pauses, request, StringIO()).begin(pids)
    finally:
        for process in (ours, server):
            process.kill()
            process.wait()
        pauses.close()
    assert request.getvalue() == f"{os.getpid()} {ours.pid}\n".encode()


def test_the_pauses_of_a_long_trial_are_spread_over_all_of_it() -> None:
    assert baseline_process.mean_slice_seconds(2.0) == baseline_process.MEAN_SLICE_SECONDS
    for seconds in (400.0, 3600.0):  # and as long again, if calls take that long
        assert 2 * seconds / baseline_process.mean_slice_seconds(seconds) <= MAX_PAUSES


def test_what_went_wrong_in_the_process_that_measures_is_printed() -> None:
    ended = child.run(
        KILLED.replace("countdown_released", "no_such_kernel").partition("    process")[0] + "    print(process)"
    )
    assert ended.stdout == "None\n"
    assert "no_such_kernel" in ended.stderr.splitlines()[-1]


def test_a_cpu_clock_that_does_not_move_costs_no_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = baseline_process.Kernel(BaselineTask(function=COUNTDOWN, count=1000, cores=1.0))
    monkeypatch.setattr("gilscope.trial.baseline_process.time.thread_time", lambda: 1.0)
    assert 0 < kernel.rate(min(os.sched_getaffinity(0))) < float("inf")


def test_without_schedstat_the_cpu_time_of_a_thread_is_that_of_its_stat(tmp_path: Path) -> None:
    numbers = [str(number) for number in range(4, 53)]  # the number of each field, as proc_pid_stat(5) counts them
    (tmp_path / "stat").write_text(f"7 (a name) with spaces) R {' '.join(numbers)}")
    assert times(tmp_path) == ((14 + 15) * 10_000_000, 0, 39)
    (tmp_path / "schedstat").write_text("123456789 2000 5")
    assert times(tmp_path) == (123456789, 2000, 39)


def test_the_cpu_time_of_a_trial_has_that_of_the_threads_which_a_call_started_and_ended() -> None:
    def compute() -> None:
        while thread_time() < 0.02:
            pass

    trial = Trial([os.getpid()])
    thread = threading.Thread(target=compute)
    thread.start()
    thread.join()
    assert trial.cpu_time() >= 0.02
    assert trial.cpu_time() < 0.02  # since the last call


ENDED = """
import os
from gilscope.trial.baseline import forked
from gilscope.trial.baseline_process import BaselineTask

with forked(BaselineTask(function="gilscope:countdown_released", count=1, cores=2.0)) as process:
    print(*process.pids)
"""


def test_the_processes_that_measure_end_with_the_context() -> None:
    (pids,) = child.output(ENDED)
    assert len(pids.split()) == 2
    for pid in pids.split():
        child.wait_until_gone(int(pid))
