"""How long the calls took by themselves, without the time in which their thread waited for a CPU."""

from __future__ import annotations

import pytest
from gilscope.checks import calls
from gilscope.checks.calls import Calls

CALL_SECONDS = 2.0
QUEUED_SECONDS = 30.0


class Machine:
    """A clock, and the system's count of a thread's time in run queues; a thread may wait just before or after a reading."""

    def __init__(self, *, wait_before_reading: int = 0, wait_after_reading: int = 0) -> None:
        self.now = self.queued = 0.0
        self.readings = 0
        self.before, self.after = wait_before_reading, wait_after_reading

    def clock(self) -> float:
        return self.now

    def delay(self, _thread: int) -> float:
        self.readings += 1
        if self.readings == self.before:
            self.wait()
        shown = self.queued
        if self.readings == self.after:
            self.wait()
        return shown

    def wait(self) -> None:
        self.now += QUEUED_SECONDS
        self.queued += QUEUED_SECONDS

    def run(self) -> None:
        self.now += CALL_SECONDS

    def wait_and_run(self) -> None:
        self.wait()
        self.run()


@pytest.mark.parametrize(
    ("machine", "waits_in_each_call"),
    [
        (Machine(), False),
        (Machine(), True),
        (Machine(wait_after_reading=1), False),
        (Machine(wait_before_reading=2), False),
        (Machine(wait_before_reading=2), True),
    ],
)
def test_the_time_in_which_the_thread_waits_for_a_cpu_neither_prolongs_nor_shortens_its_calls(
    machine: Machine, waits_in_each_call: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "monotonic", machine.clock)
    monkeypatch.setattr(calls, "run_queue_delay", machine.delay)
    made = Calls(machine.wait_and_run if waits_in_each_call else machine.run)
    made.make(100)
    assert made.delays_known
    assert made.duration == pytest.approx(CALL_SECONDS)
