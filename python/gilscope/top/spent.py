"""What the loops spent the last minute on, by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.top.picture import SpentRow
from gilscope.top.sums import LONGEST_WINDOW, Sums

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gilscope.records.loop_time import LoopDoing, TimeTree
    from gilscope.records.stall import Frame

    Line = tuple[str, int]
    Key = tuple[int, LoopDoing, Line | None, str | None, Line | None]


class Spent:
    """The seconds that each loop spent on each line. A line may have frames of several functions, as of a generator."""

    def __init__(self, at: float, tree: TimeTree | None) -> None:
        self._frames: dict[Line, Frame] = {}
        self._sums: Sums[Key] = Sums(at, self._sums_of(tree) if tree else {})

    def add(self, at: float, tree: TimeTree) -> None:
        """Add what the loops spent so far, up to ``at``."""
        self._sums.add(at, self._sums_of(tree))

    def rows(self, sampled: Mapping[int, float]) -> tuple[SpentRow, ...]:
        """Return what the loops spent most of the last minute on; ``sampled``: for how long each loop was sampled in it."""
        rows = []
        for (loop, doing, culprit, holder, held_at), seconds in self._sums.over(LONGEST_WINDOW)[1].items():
            if seconds and sampled.get(loop):
                share = min(1.0, seconds / sampled[loop])
                frame, held = culprit and self._frames[culprit], held_at and self._frames[held_at]
                rows.append(SpentRow(loop, share, doing, frame or None, holder, held or None))
        return tuple(sorted(rows, key=lambda row: -row.share))

    def _sums_of(self, tree: TimeTree) -> dict[Key, float]:
        frames: dict[Line, Frame] = {}
        sums: dict[Key, float] = {}

        def line(index: int | None) -> Line | None:
            if index is None:
                return None
            frame = tree.frames[index]
            frames.setdefault((frame.file, frame.line), frame)  # the first has most time
            return frame.file, frame.line

        for stack in tree.stacks:
            culprit, held_at = line(stack.culprit), line(stack.held_at)
            # Where the loop's thread waited matters less than which line kept it waiting.
            key = (stack.loop, stack.doing, None if held_at else culprit, stack.holder, held_at)
            sums[key] = sums.get(key, 0.0) + stack.seconds
        self._frames.update(frames)
        return sums
