"""Records of what the native watcher returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.records.stall import Contender, Evidence, Frame, Thread

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilscope._core import ContenderReport, StallReport, ThreadInfo


def evidence(report: StallReport) -> Evidence:
    """Return where the time of a stall went; the contender that held the GIL for longest comes first."""
    figures = report.evidence
    contenders = sorted(map(_contender, figures.contenders), key=lambda contender: -contender.held)
    asked, attached = report.asked, report.attached
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
        stacks_age=None if attached is None else attached - report.came,
        contenders=tuple(contenders),
    )


def thread(info: ThreadInfo) -> Thread:
    return Thread(info.native_id, info.name)


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
    )
