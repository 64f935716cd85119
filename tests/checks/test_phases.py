"""Which calls of the phases a check judges: constructed phases, no call is made."""

from __future__ import annotations

import threading
from types import SimpleNamespace

from gilscope._core import monotonic
from gilscope.checks.calls import Calls
from gilscope.checks.phase import Phase
from gilscope.checks.run import Checking

from tests.checks.test_knocks import FakeKnock


def phase_of(calls: Calls, *knocks: FakeKnock, real: bool = False) -> Phase:
    phase = Phase(int, thread=threading.get_native_id(), real=real)
    phase.calls = calls
    nothing = SimpleNamespace(waiting=0.0)
    phase.knocker = SimpleNamespace(knocks=lambda: [*knocks], tally=lambda: nothing, stop=int)  # type: ignore[assignment]
    return phase


def made(number: int, *spans: tuple[float, float]) -> Calls:
    """Return calls that computed all the time, the first of them as the first of ``spans``."""
    calls = Calls(int, ended=(number, spans[-1][1]), spans=[*spans], computed=sum(end - begin for begin, end in spans))
    (begin, end) = spans[0]
    calls.first = Calls(int, ended=(1, end), spans=[spans[0]], computed=end - begin)
    return calls


def repeating(again: Calls) -> Checking:
    """Return a check whose first phase had one call of a second, and whose second had ten of 20 ms."""
    checking = Checking(int, "work")
    checking.conclusion.switch_interval = 0.005
    free = [FakeKnock(start=0.01 * number) for number in range(100)]
    checking.holds = phase_of(made(1, (0.0, 1.0)), *free)
    others = Calls(int, apart=True, ended=(10, 2.2), spans=[(2.0, 2.2)], computed=0.2)
    checking.waits = phase_of(others, *(FakeKnock(start=2 + 0.01 * number) for number in range(20)), real=True)
    checking.again = phase_of(again, *(FakeKnock(start=3 + 0.001 * number) for number in range(100)))
    return checking


def test_while_the_first_phase_is_repeated_its_old_call_counts_until_a_new_one_has_ended() -> None:
    before = repeating(Calls(int, began=monotonic())).verdict_so_far()
    assert before is not None
    assert (before.kind, before.duration, before.first_call) == ("releases", 1.0, None)
    after = repeating(made(5, (3.0, 3.02), (3.02, 3.1))).verdict_so_far()
    assert after is not None
    assert (after.kind, round(after.duration, 3), after.first_call) == ("releases", 0.02, 1.0)


def test_a_check_goes_on_until_the_calls_that_it_judges_are_clear() -> None:
    """A first call unlike the others is in no verdict, so its samples must not make it seem clear, or unclear."""
    knocks = [FakeKnock(start=0.5, wait=0.2, held=True, ran=0.2), FakeKnock(start=1.5)]
    assert len(phase_of(made(100, (0.0, 1.0), (1.0, 2.0)), *knocks).sampled().waits) == 1
    assert len(phase_of(made(2, (0.0, 1.0), (1.0, 2.0)), *knocks).sampled().waits) == 2
