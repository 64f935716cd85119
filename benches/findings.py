"""What a stall watchdog found, read from what it wrote."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from stall_log import line_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stall_log import Arrival

CODE_OF_CASES = "stalling.py"
CAUSES_OF_WATCHDOGS = {"computing": "blocked, computing", "waiting": "blocked, waiting"}


class Finding(NamedTuple):
    at: float
    """When it was written, by ``time.monotonic()``."""
    cause: str | None
    named: str | None
    """The function whose line it accuses: the innermost of the case's code."""
    shown: frozenset[str]
    """All functions of all threads that it shows a line of."""
    span: tuple[float, float] | None = None
    """The part of the stall that the finding covers; ``None`` if the tool does not report that."""


Stacks = list[list[str]]
"""``file:function`` of each frame, innermost first."""


def of_stacks(at: float, cause: str | None, accused: list[str], others: Stacks) -> Finding:
    own = [frame.rpartition(":")[2] for frame in accused if frame.rpartition(":")[0].endswith(CODE_OF_CASES)]
    shown = frozenset(frame.rpartition(":")[2] for stack in [accused, *others] for frame in stack)
    return Finding(at, CAUSES_OF_WATCHDOGS.get(cause or "", cause), own[0] if own else None, shown)


def of_json(arrivals: list[Arrival]) -> Iterator[Finding]:
    """Read what the watchdogs write that are threads of Python's."""
    for arrival in arrivals:
        fields = json.loads(arrival.text)
        finding = of_stacks(arrival.at, fields["cause"], fields["stack"], fields["others"])
        yield finding._replace(span=fields.get("span"))


def of_log(arrivals: list[Arrival], began: float) -> Iterator[Finding]:
    """Read the log of ``gilscope.Watch``; ``began`` is when the watch did. A stall's first line counts, or its only one."""
    seen = set()
    for arrival in arrivals:
        line = line_of(arrival, began)
        if line is None or line.id in seen:
            continue
        seen.add(line.id)
        function = line.place.function.rpartition(".")[2] if line.place else None
        span = (line.stall_began, arrival.at)
        yield Finding(arrival.at, line.cause, function, frozenset([function] if function else []), span)


def of_dumps(arrivals: list[Arrival], loop: int) -> Iterator[Finding]:
    """Read what ``faulthandler`` dumps; ``loop`` is the identifier of the loop's thread."""
    stacks: dict[int, list[str]] = {}
    at: float | None = None
    ident = 0
    for arrival in arrivals:
        if arrival.text.startswith("Timeout"):
            if at is not None:
                yield of_stacks(at, None, stacks.pop(loop, []), list(stacks.values()))
            at, stacks = arrival.at, {}
        elif thread := re.match(r"(?:Current thread|Thread) 0x([0-9a-f]+)", arrival.text):
            ident = int(thread[1], 16)
        elif frame := re.match(r'  File "(.*)", line \S+ in (.*)', arrival.text):
            stacks.setdefault(ident, []).append(f"{frame[1]}:{frame[2]}")
    if at is not None:
        yield of_stacks(at, None, stacks.pop(loop, []), list(stacks.values()))
