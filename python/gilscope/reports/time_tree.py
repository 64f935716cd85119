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
    from gilscope.records.loop_time import BusyStack, LoopDoing
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


UNSEEN = Step("lines that were not sampled")


class Stack(NamedTuple):
    """The time of a loop at one stack."""

    steps: tuple[Step, ...]
    doing: LoopDoing
    seconds: float
    task: str | None


def named(use: Use) -> str:
    """Return the title of a loop's time: ``loop 83% busy``."""
    return f"{use.name} {percent(use.share)} busy"


def profiles(report: WatchReport) -> list[tuple[Use, list[Stack]]]:
    """Return each loop, the busiest first, with its stacks."""
    tree = report.time
    if tree is None:
        return [(use, []) for use in uses(report)]
    lines = [Step(place_of(frame) if frame.file else str(frame), frame) for frame in tree.frames]
    return [(use, [_stack(stack, lines) for stack in use.stacks]) for use in uses(report)]


def _stack(stack: BusyStack, lines: list[Step]) -> Stack:
    """Return a stack with a leaf for what the loop did there."""
    task = [Step(f"task {stack.task}")] if stack.task and not NUMBERED.fullmatch(stack.task) else []
    seen = [lines[index] for index in stack.frames] or [UNSEEN]
    return Stack((*task, *seen, Step(f"[{_done(stack, lines)}]")), stack.doing, stack.seconds, stack.task)


def _done(stack: BusyStack, lines: list[Step]) -> str:
    if stack.doing != "waiting for the GIL" or stack.holder is None:
        return stack.doing
    at = f" at {lines[stack.held_at].text}" if stack.held_at is not None else ""
    return f"{stack.doing} held by {stack.holder}{at}"
