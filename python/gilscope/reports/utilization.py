"""How busy each event loop was, and at which lines: the first lines of a watch's report."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from gilscope.formatting import counted
from gilscope.naming import place_of
from gilscope.records.loop_time import ENDED_LOOPS
from gilscope.watch.sites import MAX_LINES_APART, is_programs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gilscope.records.loop_time import BusyStack, LoopDoing, LoopTime, TimeTree
    from gilscope.records.stall import Frame
    from gilscope.records.watch_report import WatchReport

MIN_SHARE_TO_SHOW = 0.05
"""Of the loop's time: what took less is only in the files."""
MIN_SHARE_TO_COUNT = 0.01
"""Of the time of a thread's loops. ``asyncio.run`` runs its loop again for a moment at the end, which is no loop of the user's."""
MAX_LOOPS_SHOWN = 5
WITHOUT_LINE: tuple[LoopDoing, ...] = ("no CPU", "unknown")
"""Where the loop did nothing itself, its line is chance."""
INDENT = "   "
INNER = re.compile(r"(\.<locals>\.<\w+>)+$")
INSTALLED_IN = re.compile(r"^.*/(site|dist)-packages/")


class Cost(NamedTuple):
    """What a busy loop spent time on: one thing that it did, at neighbouring lines of one function."""

    doing: LoopDoing
    seconds: float
    frame: Frame | None
    """The costliest line. While the loop waited for the GIL, the line of the thread that held it."""
    holders: tuple[str, ...] = ()
    """While the loop waited for the GIL: the threads that held it, the longest holder first."""


class Use(NamedTuple):
    """The time of a loop, or of all loops that one thread ran one after another."""

    name: str
    loops: frozenset[int]
    busy: float
    total: float
    saturated: float
    """Seconds in which it was saturated: see ``LoopTime.saturated``."""
    stacks: tuple[BusyStack, ...]
    costs: tuple[Cost, ...]
    """The costliest first."""

    @property
    def share(self) -> float:
        """The share of its time in which it was busy."""
        return self.busy / self.total


def uses(report: WatchReport) -> list[Use]:
    """Return the time of the loops, by thread, the busiest first."""
    threads: dict[tuple[int, str | None], list[LoopTime]] = defaultdict(list)
    for loop in report.snapshot.loops:
        if loop.busy + loop.asleep:
            threads[loop.thread.native_id, loop.thread.name].append(loop)
    tree = report.time
    found = [_use(loops, tree, alone=len(threads) == 1) for loops in threads.values()]
    return sorted(found, key=lambda use: -use.busy)


def _use(loops: list[LoopTime], tree: TimeTree | None, *, alone: bool) -> Use:
    numbers = frozenset(loop.loop for loop in loops)
    busy = sum(loop.busy for loop in loops)
    stacks = tuple(stack for stack in tree.stacks if stack.loop in numbers) if tree else ()
    return Use(
        name=_name(loops, alone=alone),
        loops=numbers,
        busy=busy,
        total=busy + sum(loop.asleep for loop in loops),
        saturated=sum(loop.saturated for loop in loops),
        stacks=stacks,
        costs=tuple(sorted(_costs(stacks, tree), key=lambda cost: -cost.seconds)) if tree else (),
    )


def _name(loops: list[LoopTime], *, alone: bool) -> str:
    if loops[0].loop == ENDED_LOOPS:
        return "loops that have ended"
    times = [loop.busy + loop.asleep for loop in loops]
    count = sum(time >= MIN_SHARE_TO_COUNT * sum(times) for time in times)
    noun = "loop" if count == 1 else counted(count, "loop")
    return noun if alone else f"{noun} of {loops[0].thread}"


def _costs(stacks: Iterable[BusyStack], tree: TimeTree) -> Iterator[Cost]:
    """Yield what the stacks cost, neighbouring lines of a function as one, and all lines of a library's function."""
    functions: dict[object, dict[Frame | None, list[BusyStack]]] = defaultdict(lambda: defaultdict(list))
    for stack in stacks:
        line = blamed(stack, tree)
        functions[stack.doing, line and (line.file, _function(line))][line].append(stack)
    for lines in functions.values():
        group: dict[Frame | None, list[BusyStack]] = {}
        last = 0
        for line in sorted(lines, key=_order):
            # A line of a library's is chance.
            if group and _number(line) > last + MAX_LINES_APART and line and is_programs(line):
                yield _cost(group)
                group = {}
            group[line] = lines[line]
            last = _number(line)
        yield _cost(group)


def blamed(stack: BusyStack, tree: TimeTree) -> Frame | None:
    """Return the line that a stack's time is counted to: of the thread that held the GIL, if the loop waited for it."""
    if stack.doing in WITHOUT_LINE:
        return None
    if stack.doing == "waiting for the GIL":
        return None if stack.held_at is None else tree.frames[stack.held_at]
    if stack.culprit is not None:
        return tree.frames[stack.culprit]
    return tree.frames[stack.frames[-1]] if stack.frames else None


def _order(line: Frame | None) -> tuple[int, str]:
    return _number(line), line.function if line else ""


def _function(line: Frame) -> str:
    """Return the function that ``line`` is in: a comprehension or a lambda belongs to the function around it."""
    return INNER.sub("", line.function)


def _number(line: Frame | None) -> int:
    return line.line if line else 0


def _cost(lines: dict[Frame | None, list[BusyStack]]) -> Cost:
    stacks = [stack for group in lines.values() for stack in group]
    held: dict[str, float] = defaultdict(float)
    for stack in stacks:
        if stack.holder is not None:
            held[stack.holder] += stack.seconds
    return Cost(
        doing=stacks[0].doing,
        seconds=sum(stack.seconds for stack in stacks),
        frame=max(lines, key=lambda line: sum(stack.seconds for stack in lines[line])),
        holders=tuple(sorted(held, key=lambda name: -held[name])),
    )


def said(cost: Cost) -> str:
    """Return what a loop did, and where: ``computing at orders.py:41 in handler``."""
    if cost.doing in WITHOUT_LINE:
        return cost.doing
    if cost.doing == "waiting for the GIL":
        return _held(cost)
    return f"{cost.doing} at {_place(cost.frame) if cost.frame else 'a line that was not sampled'}"


def _place(line: Frame) -> str:
    """Return where ``line`` is, without the folder that the packages are installed in, and with the outer function."""
    return INNER.sub("", INSTALLED_IN.sub("", place_of(line)))


def _held(cost: Cost) -> str:
    if not cost.holders:
        return cost.doing
    first, *others = cost.holders
    by = f"{first} and {counted(len(others), 'other thread')}" if others else first
    at = f" at {_held_at(cost.frame)}" if cost.frame else ""
    return f"{cost.doing} held by {by}{at}"


def _held_at(line: Frame) -> str:
    """Return the file and the line; code that is in no file, as that of a task of dask's, only its function tells apart."""
    place = _place(line)
    return place if line.file.startswith("<") else place.rpartition(" in ")[0]


def percent(share: float) -> str:
    return f"{share:.0%}"


def utilization(report: WatchReport, width: int = 0) -> Iterator[str]:
    """Yield a line for each loop: how busy it was, and with what. Lines of more than ``width`` characters break at commas."""
    found = uses(report)
    for use in found[:MAX_LOOPS_SHOWN]:
        shares = [(cost.seconds / use.total, cost) for cost in use.costs]
        shown = [f"{percent(share)} {said(cost)}" for share, cost in shares if share >= MIN_SHARE_TO_SHOW]
        yield from _broken(f"{use.name} {percent(use.share)} busy", shown, width)
    if rest := found[MAX_LOOPS_SHOWN:]:
        loops = counted(sum(len(use.loops) for use in rest), "other loop")
        yield f"{loops}, {percent(max(use.share for use in rest))} busy at most"


def _broken(head: str, parts: list[str], width: int) -> Iterator[str]:
    """Yield the parts with commas between them, in lines of at most ``width`` characters where a part is not longer itself."""
    line, separator = head, ":"
    for number, part in enumerate(parts, 1):
        comma = "," if number < len(parts) else ""
        if width and len(f"{line}{separator} {part}{comma}") > width:
            yield f"{line}{separator}"
            line = INDENT + part
        else:
            line = f"{line}{separator} {part}"
        separator = ","
    yield line
