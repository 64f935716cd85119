"""Records of where the time of loops went, made of what the native watcher returns."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple, cast

from gilscope import _core
from gilscope.records.loop_time import BusyStack, LoopDoing, LoopTime, TimeTree
from gilscope.records.stall import Frame
from gilscope.watch import stack
from gilscope.watch.native import thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gilscope._core import BusySums, BusyTree, LoopSums, Watcher

MAX_STACKS = 1000
"""Stacks that are kept apart in a record, those with most time. The others count without frames."""

EMPTY = TimeTree(frames=(), stacks=())


class Key(NamedTuple):
    """What is the same in all the time that is added up. Frames are innermost first."""

    loop: int
    doing: str
    frames: tuple[Frame, ...] = ()
    task: str | None = None
    coroutine: str | None = None
    holder: str | None = None
    held_at: Frame | None = None


def times_of(watcher: Watcher) -> tuple[LoopTime, ...]:
    """Return how busy each loop of a watch was."""
    return times(_core.loop_times(watcher))


def tree_of(watcher: Watcher | None, most: int = MAX_STACKS) -> TimeTree:
    """Return what the loops of a watch did; nothing if its native threads have not started."""
    return EMPTY if watcher is None else tree(_core.time_tree(watcher), most=most)


def times(sums: Iterable[LoopSums]) -> tuple[LoopTime, ...]:
    return tuple(
        LoopTime(
            loop=time.loop,
            thread=thread(time.thread),
            busy=time.busy,
            asleep=time.asleep,
            saturated=time.saturated,
        )
        for time in sums
        if time.busy or time.asleep  # else it was seen once
    )


def tree(
    busy: BusyTree,
    *,
    most: int = MAX_STACKS,
    culprit: Callable[[Sequence[Frame]], Frame | None] = stack.culprit,
) -> TimeTree:
    """Return the record of a native tree with at most ``most`` stacks. ``culprit`` chooses the line of a stack to name."""
    frames = [Frame(*frame) for frame in busy.frames]
    seconds_of: dict[Key, float] = defaultdict(float)
    ranked = sorted(busy.stacks, key=lambda part: -part.seconds)
    for part in ranked[:most]:
        seconds_of[_key(part, frames, culprit)] += part.seconds
    for part in ranked[most:]:
        seconds_of[Key(part.loop, part.doing)] += part.seconds
    numbers: dict[Frame, int] = {}

    def number(frame: Frame) -> int:
        return numbers.setdefault(frame, len(numbers))

    stacks = []
    for key, seconds in sorted(seconds_of.items(), key=lambda item: -item[1]):
        named = culprit(key.frames)
        stacks.append(
            BusyStack(
                loop=key.loop,
                doing=cast("LoopDoing", key.doing),
                seconds=seconds,
                frames=tuple(map(number, reversed(key.frames))),
                culprit=None if named is None else number(named),
                task=key.task,
                coroutine=key.coroutine,
                holder=key.holder,
                held_at=None if key.held_at is None else number(key.held_at),
            )
        )
    return TimeTree(frames=tuple(numbers), stacks=tuple(stacks))


def _key(busy: BusySums, frames: Sequence[Frame], culprit: Callable[[Sequence[Frame]], Frame | None]) -> Key:
    return Key(
        busy.loop,
        busy.doing,
        stack.busy_frames([frames[index] for index in reversed(busy.frames)], busy.above),
        busy.task,
        busy.coroutine,
        None if busy.holder is None else str(thread(busy.holder)),
        culprit([frames[index] for index in reversed(busy.holder_frames)]),
    )
