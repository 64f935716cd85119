"""The verdict on constructed samples, and the wait that has not ended."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from gilscope._core import monotonic
from gilscope.checks.calls import Calls
from gilscope.checks.conclusion import Conclusion
from gilscope.checks.phase import Phase

from tests.support.constructed import MACHINE
from tests.support.samples import sampled, wait

if TYPE_CHECKING:
    from gilscope.checks.knocks import Wait
    from gilscope.records.verdict import Verdict

YIELDS = [wait(least=0.0001)] * 300


def concluded(*real: Wait) -> Verdict:
    calls = Calls(int, ended=(1, 0.5), spans=[(0.0, 0.5)], computed=0.5, delays_known=True)
    conclusion = Conclusion("work", MACHINE, switch_interval=0.005)
    return conclusion.verdict(calls, sampled(*YIELDS, between=0.1), sampled(*real, between=0.01), real_calls=1)


def test_a_thread_that_waits_for_several_threads_in_turns_waits_for_all_of_them() -> None:
    in_turns = concluded(*[wait(least=0.0051, slept=2)] * 5, *[wait(least=0.0201, slept=9, of_other_thread=True)] * 9)
    assert (in_turns.kind, in_turns.longest_wait, in_turns.stall) == ("yields", 0.0201, 0.0201)
    assert "But a thread waited for the GIL up to 20.1 ms, because several threads took turns." in str(in_turns)


def test_releases_that_wake_a_thread_oftener_than_turns_do_are_too_brief_on_another_thread_too() -> None:
    brief = concluded(*[wait(least=0.0201, slept=40, of_other_thread=True)] * 9)
    assert (brief.kind, brief.reason, brief.longest_wait) == ("hogs", "brief releases", 0.0201)


def test_a_rare_long_wait_in_which_nothing_woke_the_thread_is_the_systems_and_only_by_the_clock() -> None:
    delayed = concluded(*[wait(least=0.0051, slept=2)] * 9, wait(least=0.0401, slept=2))
    assert (delayed.kind, delayed.longest_wait, delayed.longest_wait_elapsed) == ("yields", 0.0051, 0.0401)


def test_a_wait_that_has_not_ended_counts_with_its_length_so_far() -> None:
    phase = Phase(int, thread=threading.get_native_id(), real=True)
    phase.knocker = SimpleNamespace(knocks=list, tally=lambda: SimpleNamespace(waiting=0.3))  # type: ignore[assignment]
    now = monotonic()
    (found,) = phase.sampled_so_far(Calls(int, spans=[(now - 1, now)])).waits
    assert (found.end - found.start, found.most) == pytest.approx((0.3, 0.3))
    assert found.held
