"""Records of what the native watcher returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from gilscope.records.stall import Contender, Evidence, Frame, Thread
from gilscope.records.watch_state import LoopState, WatchState
from gilscope.watch.stack import callback_frames

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilscope._core import ContenderReport, EvidenceReport, SegmentReport, ThreadInfo
    from gilscope.records.watch_state import LoopDoing


class Segment(NamedTuple):
    """A part of a stall: the time whose samples belong to one stack sample."""

    evidence: Evidence
    loop_stack: tuple[Frame, ...]
    callback: tuple[Frame, ...]
    """The frames of ``loop_stack`` that are the callback's; empty if the loop was running none, or was not seen to."""
    task: str | None
    coroutine: str | None
    request: str | None = None


def segment(report: SegmentReport, came: float) -> Segment:
    """Return the record of a part of the stall that ended at ``came``."""
    loop_stack = stack(report.loop_stack)
    return Segment(
        evidence=evidence(report.evidence, report.asked, report.attached, came),
        loop_stack=loop_stack,
        callback=callback_frames(loop_stack, report.above),
        task=report.task,
        coroutine=report.coroutine,
        request=report.request,
    )


def evidence(figures: EvidenceReport, asked: float | None, attached: float | None, came: float) -> Evidence:
    """Return where the time went; the contender that held the GIL for longest comes first."""
    contenders = sorted(map(_contender, figures.contenders), key=lambda contender: -contender.held)
    return Evidence(
        sampled=figures.sampled,
        unsampled=figures.unsampled,
        held=figures.held,
        collected=figures.collected,
        waited=figures.waited,
        slept=figures.slept,
        ran_without_gil=figures.ran_without_gil,
        unknown=figures.unknown,
        ran=figures.ran,
        queued=figures.queued,
        switches=figures.switches,
        prober_waited=None if asked is None or attached is None else attached - asked,
        stacks_age=None if attached is None else attached - came,
        contenders=tuple(contenders),
    )


def thread(info: ThreadInfo) -> Thread:
    return Thread(info.native_id, info.name)


NO_LOOPS = WatchState(state="idle", age=None, loops=())


def watch_state(loops: Iterable[tuple[int, ThreadInfo, str, float]]) -> WatchState:
    """Return what the loops do, of which the worst comes first."""
    states = tuple(
        LoopState(loop=number, thread=thread(info), state=cast("LoopDoing", doing), age=age)
        for number, info, doing, age in loops
    )
    return WatchState(state=states[0].state, age=states[0].age, loops=states) if states else NO_LOOPS


def stack(frames: Iterable[tuple[str, int, str]]) -> tuple[Frame, ...]:
    return tuple(Frame(*frame) for frame in frames)


def _contender(report: ContenderReport) -> Contender:
    return Contender(
        thread=thread(report.thread),
        held=report.held,
        held_long=report.held_long,
        longest=report.longest,
        queued=report.queued,
        collected=report.collected,
        stack=stack(report.stack),
        held_while_loop_slept=report.held_while_loop_slept,
    )
