"""Makes the record of a stall: which cause, at which line, took most of its time.

One stack is one moment. Each segment of a stall has a stack sample of its own, and its time goes to the lines of that sample:
computing and waiting to the loop's own line, a wait for a hog to the hog's line. So no cause is reported at a line that
belongs to another one.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from gilscope.records.stall import Cause, Part, Stall
from gilscope.watch import stack as frames
from gilscope.watch.cause import (
    MAX_SECONDS_TO_ACQUIRE_FREE_GIL,
    MIN_SHARE_OF_CAUSE,
    Starving,
    cause_without_gil,
    only_by_gc,
    possible_causes,
    starved_by,
    time_spent,
    top_hog,
)
from gilscope.watch.native import Segment, evidence, segment, thread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gilscope._core import StallReport
    from gilscope.records.stall import Contender, Evidence, Frame, Thread

MIN_SHARE_OF_PART = 0.01
"""Of a stall: shorter parts are not recorded."""
MAX_PARTS = 10
STARVED_BY: dict[Starving, Cause] = {"a hog": "starved by a hog", "turns": "starved by turns", "no CPU": "no CPU"}


class Cost(NamedTuple):
    """Time that a stall spent on one cause at one line, in one segment."""

    cause: Cause
    seconds: float
    thread: Thread | None
    stack: tuple[Frame, ...]
    segment: Segment
    held: float = 0.0
    """How long the culprit's thread held the GIL."""
    collected: float = 0.0
    """Of that: in the garbage collector."""

    @property
    def culprit(self) -> Frame | None:
        return frames.culprit(self.stack)


def judge(report: StallReport, *, stall: float, began: float, reads_gil: bool) -> Stall:
    """Return the record of a native ``report``. ``stall`` is the threshold, and ``began`` is when the watch began."""
    own = thread(report.thread)
    duration = report.came - report.due
    segments = [segment(part, report.came) for part in report.segments]
    first = report.segments[0]
    whole = evidence(report.evidence, first.asked, first.attached, report.came)
    read = costs(segments, whole, own) if reads_gil else costs_without_gil(segments, own, stall)
    main, parts = longest(read, duration=duration, threshold=stall)
    shown = main.segment if main else max(segments, key=lambda it: (bool(it.callback), it.evidence.sampled))
    return Stall(
        loop=report.loop,
        thread=own,
        start=report.due - began,
        duration=duration,
        noticed=None if report.noticed is None else report.noticed - began,
        noticed_holder=None if report.noticed_holder is None else thread(report.noticed_holder),
        cause=main.cause if main else "unknown",
        culprit=main.culprit if main else None,
        culprit_thread=main.thread if main else None,
        stack=main.stack if main else (),
        callback=frames.callback(shown.callback),
        task=shown.task,
        coroutine=shown.coroutine,
        request=shown.request,
        loop_stack=shown.loop_stack,
        evidence=_with_stacks(whole, segments),
        parts=parts,
    )


def costs(segments: Sequence[Segment], whole: Evidence, own: Thread) -> list[Cost]:
    """Return what each segment of a stall was spent on."""
    starving = starved_by(whole)
    found: list[Cost] = []
    before = None
    for each in segments:
        before = _with_stacks_before(each, before)
        found += _costs_of(before, starving, whole, own)
    return found


def costs_without_gil(segments: Sequence[Segment], own: Thread, threshold: float) -> list[Cost]:
    """Return what each segment was spent on if the GIL cannot be read: the threads that held it are unknown."""
    found = []
    for each in segments:
        seconds = each.evidence.sampled + each.evidence.unsampled
        why = cause_without_gil(each.evidence, duration=seconds, threshold=threshold)
        if why.startswith("blocked"):
            found.append(Cost(why, seconds, own, each.callback, each))
        elif why != "unknown":
            found.append(Cost(why, seconds, None, (), each))
    return found


def longest(found: Iterable[Cost], *, duration: float, threshold: float) -> tuple[Cost | None, tuple[Part, ...]]:
    """Return the cause and the line that took the most time, and the others as parts. ``None`` if nothing explains the stall.

    Lines of one function with one cause are compared together: where a loop is at a moment is chance.
    """
    by_line: dict[tuple[Cause, Frame | None, Thread | None], list[Cost]] = defaultdict(list)
    by_function: dict[tuple[Cause, object, Thread | None], list[Cost]] = defaultdict(list)
    spent: dict[Cause, float] = defaultdict(float)
    for cost in found:
        if cost.seconds > 0:
            spent[cost.cause] += cost.seconds
            by_line[cost.cause, cost.culprit, cost.thread].append(cost)
            by_function[cost.cause, _function(cost.culprit), cost.thread].append(cost)
    possible = possible_causes(spent, duration=duration, threshold=threshold)
    candidates = [group for (why, *_), group in by_function.items() if why in possible]
    if not candidates:
        return None, _parts(by_line.values(), None, duration)
    function = max(candidates, key=_seconds)
    lines = [group for group in by_line.values() if group[0] in function]
    line = max(lines, key=_seconds)
    main = max(line, key=lambda cost: cost.seconds)
    parts = _parts(by_line.values(), main, duration)
    held, collected = sum(cost.held for cost in function), sum(cost.collected for cost in function)
    if only_by_gc(collected, held, threshold):
        main = main._replace(cause="garbage collection")
    return main, parts


def _with_stacks_before(each: Segment, before: Segment | None) -> Segment:
    """Return a segment with the stacks of the one before it if its own came too late and the loop did the same all along."""
    if each.loop_stack or before is None or _mostly(each) != _mostly(before):
        return each
    return before._replace(evidence=each.evidence)


def _mostly(each: Segment) -> str:
    seen = each.evidence
    spent = {"held": seen.held, "slept": seen.slept + seen.ran_without_gil, "waited": seen.waited + seen.unknown}
    return max(spent, key=spent.__getitem__)


def _costs_of(each: Segment, starving: Starving, whole: Evidence, own: Thread) -> Iterator[Cost]:
    seen = each.evidence
    spent = time_spent(seen, starving, whole)
    yield Cost("blocked, computing", spent.computing, own, each.callback, each, seen.held, seen.collected)
    waiting = spent.waiting
    if frames.starts_thread(each.callback) and (hog := _hog_while_loop_slept(seen)):
        # The new thread needs the GIL before the loop can go on.
        waiting = max(0.0, waiting - hog.held_while_loop_slept)
        yield Cost("starved by a hog", spent.waiting - waiting, hog.thread, hog.stack, each)
    yield Cost("blocked, waiting", waiting, own, each.callback, each)
    yield Cost("no CPU", spent.no_cpu, None, (), each)
    yield _starved(STARVED_BY[starving], spent.hog + spent.turns, each)
    if seen.prober_waited is not None and seen.unknown >= MIN_SHARE_OF_CAUSE * seen.sampled > 0:
        # The system does not say what the loop's thread was waiting for. If the GIL was free, it was not the GIL.
        if seen.prober_waited < MAX_SECONDS_TO_ACQUIRE_FREE_GIL:
            yield Cost("blocked, waiting", seen.unknown, own, each.callback, each)
        else:
            yield _starved(STARVED_BY[starving], seen.unknown, each)


def _starved(why: Cause, seconds: float, each: Segment) -> Cost:
    """Return the cost of waiting for the GIL, at the line of the thread that held it."""
    seen = each.evidence
    if why == "starved by a hog":
        hog = top_hog(seen)
        if hog is None:
            return Cost(why, seconds, None, (), each)
        # A hog that releases the GIL briefly may have returned from its call before the prober could acquire the GIL.
        stack = frames.before_return(hog.stack)
        return Cost(why, seconds, hog.thread, stack, each, hog.held, hog.collected)
    if why == "starved by turns":
        # Of the threads with a stack, name the one that held the GIL for longest.
        one = max(seen.contenders, key=lambda contender: (bool(contender.stack), contender.held), default=None)
        return Cost(why, seconds, one.thread if one else None, one.stack if one else (), each)
    return Cost(why, seconds, None, (), each)


def _hog_while_loop_slept(seen: Evidence) -> Contender | None:
    held = [contender for contender in seen.contenders if contender.held_while_loop_slept > 0]
    return max(held, key=lambda contender: contender.held_while_loop_slept, default=None)


def _function(line: Frame | None) -> tuple[str, str] | None:
    return (line.file, line.function) if line else None


def _seconds(found: Iterable[Cost]) -> float:
    return sum(cost.seconds for cost in found)


def _parts(lines: Iterable[list[Cost]], main: Cost | None, duration: float) -> tuple[Part, ...]:
    """Return what else a stall was spent on."""
    parts = [
        Part(cause=group[0].cause, culprit=group[0].culprit, thread=group[0].thread, seconds=_seconds(group))
        for group in lines
        if main not in group
    ]
    long = [part for part in parts if part.seconds >= MIN_SHARE_OF_PART * duration]
    return tuple(sorted(long, key=lambda part: -part.seconds)[:MAX_PARTS])


def _with_stacks(whole: Evidence, segments: Iterable[Segment]) -> Evidence:
    """Return the evidence of a whole stall, in which each contender has its stack from when it held the GIL for longest."""
    seen = [contender for each in segments for contender in each.evidence.contenders if contender.stack]
    stacks = {contender.thread: contender.stack for contender in sorted(seen, key=lambda contender: contender.held)}
    return replace(whole, contenders=tuple(replace(it, stack=stacks.get(it.thread, ())) for it in whole.contenders))
