"""The flame graph of a watch's page: boxes of HTML, as wide as the time that they stand for. It can be read without its script.

The outermost line is at the top. The boxes lie flat in one element, each with its place in percent, so that a deep stack nests
no elements.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from gilscope.formatting import counted, duration
from gilscope.reports.shell import filled
from gilscope.reports.style import DOING_COLOURS
from gilscope.reports.time_tree import Step, named, profiles
from gilscope.reports.utilization import MAX_LOOPS_SHOWN, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gilscope.records.loop_time import LoopDoing
    from gilscope.records.watch_report import WatchReport
    from gilscope.reports.time_tree import Stack
    from gilscope.reports.utilization import Use

MIN_SHARE_DRAWN = 0.001
"""Of the busy time: less would be narrower than a pixel."""
MAX_TASKS_NAMED = 3


@dataclass
class Box:
    """A line, or what is not one, and what was spent there and below."""

    step: Step
    spent: dict[LoopDoing, float] = field(default_factory=lambda: defaultdict(float))
    tasks: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    below: dict[Step, Box] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return sum(self.spent.values())

    def add(self, stack: Stack) -> None:
        self.spent[stack.doing] += stack.seconds
        if stack.task:
            self.tasks[stack.task] += stack.seconds


def boxes(use: Use, stacks: Iterable[Stack]) -> Box:
    """Return the box of a loop, with those of its stacks below it."""
    root = Box(Step(named(use)))
    for stack in stacks:
        root.add(stack)
        box = root
        # A box's colours say what the loop did there; only who held the GIL takes a box of its own.
        steps = stack.steps if " held by " in stack.steps[-1].text else stack.steps[:-1]
        for step in steps:
            box = box.below.setdefault(step, Box(step))
            box.add(stack)
    return root


def flames(report: WatchReport) -> str:
    """Return the flame graphs, one for each loop; empty if the report does not say where the time went."""
    drawn = [(use, boxes(use, stacks)) for use, stacks in profiles(report)[:MAX_LOOPS_SHOWN]]
    drawn = [(use, root) for use, root in drawn if root.seconds]
    if not drawn:
        return ""
    doings = [doing for doing in DOING_COLOURS if any(root.spent.get(doing) for _, root in drawn)]
    return filled(
        "flame.html",
        key="".join(f"<li>{_swatch(doing)}{escape(doing)}</li>" for doing in doings),
        colours="".join(f"--{_short(doing)}:{colour};" for doing, colour in DOING_COLOURS.items()),
        flames="".join(_flame(use, root) for use, root in drawn),
    )


def _swatch(doing: LoopDoing) -> str:
    return (
        f"<svg width='12' height='12' aria-hidden='true'><path d='M0 0h12v12H0z' fill='{DOING_COLOURS[doing]}'/></svg>"
    )


def _short(doing: LoopDoing) -> str:
    return doing.partition(" ")[0].lower()


def _flame(use: Use, root: Box) -> str:
    rows = list(_placed(root, 0.0, 100.0 / root.seconds, 0, MIN_SHARE_DRAWN * root.seconds))
    depth = 1 + max(row for *_, row in rows)
    drawn = "".join(_box(box, use, left, width, row) for box, left, width, row in rows)
    return f"<div class='flame' style='--rows:{depth}'>{drawn}</div><p class='small says' aria-live='polite'></p>"


def _placed(box: Box, left: float, scale: float, row: int, least: float) -> Iterator[tuple[Box, float, float, int]]:
    """Yield the boxes from the left to the right, each before those below it: with its left end and its width in percent."""
    waiting = [(box, left, row)]
    while waiting:
        box, left, row = waiting.pop()
        yield box, left, scale * box.seconds, row
        below = []
        for one in sorted(box.below.values(), key=lambda one: -one.seconds):
            if one.seconds >= least:
                below.append((one, left, row + 1))
            left += scale * one.seconds
        waiting += reversed(below)


def _box(box: Box, use: Use, left: float, width: float, row: int) -> str:
    place = f"--x:{left:.4f};--w:{width:.4f};--row:{row};background:{_background(box)}"
    return f"<button type='button' style='{place}' title='{escape(_says(box, use))}'><span>{escape(_label(box.step))}</span></button>"


def _label(step: Step) -> str:
    """Return what a box says: the function first, because a narrow box cuts off the rest, and the file without its folders."""
    if step.frame is None or not step.frame.file:
        return step.text.strip("[]").removeprefix("waiting for the ")
    return f"{step.frame.function}  {step.frame.file.rpartition('/')[2]}:{step.frame.line}"


def _background(box: Box) -> str:
    """Return the colours of what the loop did there, each as wide as its share."""
    shares = [(doing, box.spent[doing] / box.seconds) for doing in DOING_COLOURS if box.spent.get(doing)]
    if len(shares) == 1:
        return f"var(--{_short(shares[0][0])})"
    stops, left = [], 0.0
    for doing, share in shares:
        stops.append(f"var(--{_short(doing)}) {100 * left:.1f}% {100 * (left + share):.1f}%")
        left += share
    return f"linear-gradient(90deg,{','.join(stops)})"


def _says(box: Box, use: Use) -> str:
    spent = sorted(box.spent.items(), key=lambda one: -one[1])
    doing = ", ".join(
        f"{percent(seconds / use.total)} {name}" for name, seconds in spent if seconds >= 0.005 * use.total
    )
    of_loop = f"{duration(box.seconds)}, {percent(box.seconds / use.total)} of the loop's time" + (
        f" ({doing})" if doing else ""
    )
    return f"{box.step.text.strip('[]')}: {of_loop}{_tasks(box)}"


def _tasks(box: Box) -> str:
    if not box.tasks:
        return ""
    ranked = sorted(box.tasks, key=lambda name: -box.tasks[name])
    more = len(ranked) - MAX_TASKS_NAMED
    names = ", ".join(ranked[:MAX_TASKS_NAMED]) + (f" and {counted(more, 'other')}" if more > 0 else "")
    return f"; task{'s' if len(ranked) > 1 else ''} {names}"
