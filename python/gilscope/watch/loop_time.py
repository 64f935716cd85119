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
    from collections.abc import Iterable, Sequence

    from gilscope._core import BusySums, BusyTree, LoopSums, Watcher

MAX_STACKS = 1000
"""Stacks that are kept apart in a record, those with most time. The others count without frames."""

EMPTY = TimeTree(frames=(), stacks=())


class Key(NamedTuple):
    """What is the same in all the time that is added up. Frames are indices, innermost first."""

    loop: int
    doing: str
    frames: tuple[int, ...] = ()
    task: str | None = None
    coroutine: str | None = None
    holder: str | None = None
    held_at: int | None = None


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


def tree(busy: BusyTree, *, most: int = MAX_STACKS) -> TimeTree:
    """Return the record of a native tree with at most ``most`` stacks."""
    frames = [Frame(*frame) for frame in busy.frames]
    places = Places(frames)
    seconds_of: dict[Key, float] = defaultdict(float)
    ranked = sorted(busy.stacks, key=lambda part: -part.seconds)
    for part in ranked[:most]:
        seconds_of[_key(part, places)] += part.seconds
    for part in ranked[most:]:
        seconds_of[Key(part.loop, part.doing)] += part.seconds
    numbers: dict[int, int] = {}

    def number(index: int | None) -> int | None:
        return None if index is None else numbers.setdefault(index, len(numbers))

    stacks = tuple(
        BusyStack(
            loop=key.loop,
            doing=cast("LoopDoing", key.doing),
            seconds=seconds,
            frames=tuple(numbers.setdefault(index, len(numbers)) for index in reversed(key.frames)),
            culprit=number(places.culprit(key.frames)),
            task=key.task,
            coroutine=key.coroutine,
            holder=key.holder,
            held_at=number(key.held_at),
        )
        for key, seconds in sorted(seconds_of.items(), key=lambda item: -item[1])
    )
    return TimeTree(frames=tuple(frames[index] for index in numbers), stacks=stacks)


class Places:
    """What :mod:`gilscope.watch.stack` says of stacks whose frames are indices: each frame is looked at once."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = frames
        self._origins = [stack.origin(frame) for frame in frames]
        self._of_loops = {index for index, frame in enumerate(frames) if stack.is_of_loop(frame)}

    def culprit(self, frames: Sequence[int]) -> int | None:
        """Return what ``stack.culprit`` does."""
        best: int | None = None
        for index in frames:
            if (origin := self._origins[index]) is not None and (best is None or origin < (self._origins[best] or 0)):
                best = index
        return best

    def busy(self, frames: tuple[int, ...], above: int | None) -> tuple[int, ...]:
        """Return what ``stack.busy_frames`` does."""
        end = next((at for at, index in enumerate(frames) if at == above or index in self._of_loops), len(frames))
        # What comes after the first frame of the loop does not matter.
        found = stack.busy_frames([self._frames[index] for index in frames[: end + 1]], above)
        return frames[: len(found)]


def _key(busy: BusySums, places: Places) -> Key:
    return Key(
        busy.loop,
        busy.doing,
        places.busy(tuple(reversed(busy.frames)), busy.above),
        busy.task,
        busy.coroutine,
        None if busy.holder is None else str(thread(busy.holder)),
        places.culprit(busy.holder_frames[::-1]),
    )
