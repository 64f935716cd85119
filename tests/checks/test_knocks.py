"""What single constructed knocks show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from gilscope.checks.calls import Calls
from gilscope.checks.knocks import SampledTime, knocks_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope._core import Knock
    from gilscope.checks.knocks import Wait


class FakeKnock:
    """A knock with the given figures; the others are those of a thread that runs and of a free GIL."""

    def __init__(self, **figures: float | str | None) -> None:
        self.start, self.wait, self.slept, self.held, self.of_other_thread = 0.001, 0.0, 0, False, False
        self.state = "running"
        self.ran_before = self.ran = self.queued_before = self.queued = self.own_queued_before = self.own_queued = 0.0
        self.__dict__.update(figures)


def read_one(**figures: float | str | None) -> Wait:
    found = SampledTime()
    knock: Knock = FakeKnock(**figures)  # type: ignore[assignment]
    found.add([knock], begin=0.0, end=1.0)
    return found.waits[0]


def test_the_time_in_which_the_thread_waited_for_a_cpu_is_not_a_hold() -> None:
    assert read_one(wait=0.010, slept=20, queued=0.0099, ran=0.0001).most == pytest.approx(0.0001)


def test_the_time_in_which_the_knocker_waited_for_a_cpu_is_not_certainly_a_hold() -> None:
    found = read_one(wait=0.0042, slept=2, ran=0.0041, own_queued=0.004)
    assert (found.least, found.most) == pytest.approx((0.0002, 0.0041))


def test_a_knock_that_found_the_gil_free_while_the_thread_was_queued_says_nothing() -> None:
    assert read_one(state="runnable", ran_before=0.0).weight == 0
    assert read_one(state="runnable", ran_before=0.001).weight == 1  # the knocker itself has just preempted it
    assert read_one(state="blocked").weight == 1


def test_a_knock_asked_for_before_the_first_call_counts_for_that_call() -> None:
    knock: Knock = FakeKnock(start=0.9, wait=1.2, held=True, ran=1.1)  # type: ignore[assignment]
    calls = Calls(lambda: None, ended=(1, 2.0), began=1.0)
    so_far = calls.so_far(2.1, [knock])
    assert so_far.delays_known
    assert so_far.computed == pytest.approx(1.1)
    assert len(so_far.sampled_by([knock]).waits) == 1


def test_the_waits_of_each_span_are_known() -> None:
    knocks = [FakeKnock(start=start, wait=0.001, held=True) for start in (0.1, 0.2, 1.1)]
    found = SampledTime()
    for begin in (0.0, 0.5, 1.0):
        found.add(knocks, begin=begin, end=begin + 0.5)  # type: ignore[arg-type]
    assert [[wait.start for wait in span] for span in found.spans] == [[0.1, 0.2], [], [1.1]]


@pytest.mark.parametrize(
    ("start", "ended", "whole"), [(0.5, 0.9, True), (0.5, 1.003, True), (0.5, 1.1, False), (-0.1, 0.2, False)]
)
def test_a_wait_is_whole_if_it_lies_in_one_span_and_the_pause_behind_it(
    start: float, ended: float, whole: bool
) -> None:
    assert read_one(start=start, wait=ended - start, slept=9, held=True).whole is whole


class Counted(list["Knock"]):
    """Counts how often its items are read."""

    read = 0

    def __getitem__(self, where: Any) -> Any:
        found = super().__getitem__(where)
        self.read += len(found) if isinstance(where, slice) else 1
        return found

    def __iter__(self) -> Iterator[Knock]:
        self.read += len(self)
        return super().__iter__()


def test_thousands_of_short_spans_do_not_each_look_through_all_knocks() -> None:
    """It took seconds while the deadline passed, and an answer that was measured was lost."""
    spans = [(2.0 * number, 2.0 * number + 1.0) for number in range(2000)]
    starts = [0.4 * number for number in range(10_000)]
    knocks = Counted(FakeKnock(start=start, wait=0.3, held=True) for start in starts)  # type: ignore[misc]
    found = Calls(lambda: None, spans=spans).sampled_by(knocks)
    inside = [[start for start in starts if start + 0.3 > begin and start < end] for begin, end in spans[:20]]
    assert [[wait.end for wait in span] for span in found.spans[:20]] == [
        [min(start + 0.3, end) for start in starts] for starts, (_, end) in zip(inside, spans, strict=False)
    ]
    assert len(found.spans) == 2000
    assert knocks.read < 100 * len(spans) == len(spans) * len(knocks) / 100


def test_a_knock_that_waits_from_one_span_into_the_next_counts_once() -> None:
    knock: Knock = FakeKnock(start=0.9, wait=1.2, held=True, ran=1.1)  # type: ignore[assignment]
    assert knocks_in([knock], [(0.0, 1.0), (1.0, 2.0), (3.0, 4.0)]) == [knock]
    assert knocks_in([knock], [(3.0, 4.0)]) == []
