"""The time of busy loops as folded stacks, one a line: the format of Brendan Gregg's flamegraph.pl.

Each line is the elements of a stack, outermost first, with semicolons between them, a blank, and the whole microseconds spent
there. inferno and speedscope read it too.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gilscope.reports.time_tree import profiles

if TYPE_CHECKING:
    from gilscope.records.watch_report import WatchReport

SEPARATORS = str.maketrans({";": ":", "\n": " ", "\r": " "})
"""What a name must not have in it, and what stands there instead."""


def folded(report: WatchReport) -> str:
    """Return the stacks, each once; empty if no loop was busy."""
    sums: Counter[str] = Counter()
    for use, stacks in profiles(report):
        for stack in stacks:
            names = (use.name, *(step.label for step in stack.steps))
            sums[";".join(name.translate(SEPARATORS) for name in names)] += round(stack.seconds * 1e6)
    return "".join(f"{line} {micros}\n" for line, micros in sums.items() if micros)
