"""The parts of a verdict: its kind, its reason, and what else was measured."""

from __future__ import annotations

from typing import Literal

from gilscope.records.base import Amount, Record

Kind = Literal["hogs", "yields", "releases", "no GIL", "undecided"]
Reason = Literal[
    "",
    "too short",
    "something else held the GIL",
    "too few samples",
    "a tie",
    "unclear waits",
    "brief releases",
    "deadlock",
]
"""Why a verdict is undecided, or what is special about a hog. Files of schema 1 gave the reason in prose only.

``brief releases``: the call releases the GIL too briefly for another thread to acquire it. ``deadlock``: it neither
computes nor ends while it holds the GIL.
"""


class Waits(Record, frozen=True, kw_only=True):
    """How long a thread that asks for the GIL at a random moment of the call waits because of the call.

    Measured at the program's own switch interval, with the calls apart. In files of version 0.1, and if a call was stopped
    before that, at the shorter switch interval of the first part of a check.
    """

    p50: Amount
    p90: Amount
    p99: Amount
    max: Amount


class Background(Record, frozen=True, kw_only=True):
    """What the rest of the process did to the GIL just before the calls, while the calling thread slept."""

    held: Amount
    """Share of that time in which another thread held the GIL."""
    longest: Amount
    """Longest wait for the GIL in that time."""
