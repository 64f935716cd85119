"""The time of each busy loop as stacks of frames, outermost first: what flame graphs are drawn of.

Above the frames of a callback is a leaf for what the loop did there. Below them is the task, if the program has given the task
a name: asyncio numbers the others.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from gilscope.naming import place_of
from gilscope.reports.utilization import percent, uses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope.records.loop_time import BusyStack, LoopDoing, TimeTree
    from gilscope.records.stall import Frame
    from gilscope.records.watch_report import WatchReport
    from gilscope.reports.utilization import Use

NUMBERED = re.compile(r"Task-\d+")
"""The name that asyncio gives to a task without one."""


class Step(NamedTuple):
    """An element of a stack: a line, or what is not one."""

    text: str
    frame: Frame | None = None

    @property
    def label(self) -> str:
        """The function with its file and line, as other tools write it: ``handler (orders.py:41)``."""
        if self.frame is None or not self.frame.file:
            return self.text
        return f"{self.frame.function} ({self.text.removesuffix(f' in {self.frame.function}')})"


class Stack(NamedTuple):
    """The time of a loop at one stack."""

    steps: tuple[Step, ...]
    doing: LoopDoing
    seconds: float
    task: str | None


def named(use: Use) -> str:
    """Return the title of a loop's time: ``loop 83 % busy``."""
    return f"{use.name} {percent(use.share)} busy"


def stacks(use: Use, tree: TimeTree) -> Iterator[Stack]:
    """Yield the stacks of a loop, with a leaf for what it did at each."""
    for stack in use.stacks:
        yield Stack((*_steps(stack, tree), Step(f"[{_done(stack, tree)}]")), stack.doing, stack.seconds, stack.task)


def _steps(stack: BusyStack, tree: TimeTree) -> Iterator[Step]:
    if stack.task and not NUMBERED.fullmatch(stack.task):
        yield Step(f"task {stack.task}")
    for index in stack.frames:
        frame = tree.frames[index]
        yield Step(place_of(frame) if frame.file else str(frame), frame)
    if not stack.frames:
        yield Step("lines that were not sampled")


def _done(stack: BusyStack, tree: TimeTree) -> str:
    if stack.doing != "waiting for the GIL" or stack.holder is None:
        return stack.doing
    at = f" at {place_of(tree.frames[stack.held_at])}" if stack.held_at is not None else ""
    return f"{stack.doing} held by {stack.holder}{at}"


def profiles(report: WatchReport) -> list[tuple[Use, list[Stack]]]:
    """Return each loop, the busiest first, with its stacks."""
    return [(use, [*stacks(use, report.time)] if report.time else []) for use in uses(report)]
