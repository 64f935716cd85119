"""One callable under every strategy: what a comparison adds to its trials."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gilscope.records.base import Amount, AtLeastOne, Count, Positive, Record
from gilscope.records.verdict import Verdict


class Passage(Record, frozen=True, kw_only=True):
    """What one call through a fresh worker of a strategy proved, and what the way there and back costs.

    ``hand_over`` is an empty call without arguments, ``carried`` an empty call with the comparison's arguments and
    result; both are medians of calls made one after another. ``computing`` is the processor time of a carrying call in
    the caller's process and its children, which does not depend on how busy the machine is. ``packing`` and ``unpacking`` are the caller's part of
    that: the processor time of pickling the arguments and of unpickling the result, during which the caller's
    loop does not run.
    """

    strategy: str
    travels: bool
    """Whether the callable, its arguments and its result made the round trip."""
    reason: str = ""
    """Why not."""
    unavailable: bool = False
    """Whether that is since this Python or this installation does not have the strategy."""
    answer: Literal["same", "differs", "not compared"] = "not compared"
    """Whether the result was the one that a call in the parent brings."""
    note: str = ""
    """Why it was not compared, or how it differs."""
    hand_over: Amount | None = None
    carried: Amount | None = None
    computing: Amount | None = None
    packing: Amount | None = None
    unpacking: Amount | None = None
    arguments: Count | None = None
    """Bytes of the pickled arguments; ``None`` where they are not pickled."""
    result: Count | None = None
    shared: bool = False
    """Whether its workers take the caller's own objects: nothing is copied, and the caller's GIL is theirs."""
    supervised: bool = True


class Comparison(Record, frozen=True, kw_only=True):
    """One callable under every strategy: what the trials of a result of the kind ``compare`` are about."""

    subject: str
    """What was compared, as its user writes it."""
    setup: list[str] = msgspec.field(default_factory=list)
    budget: Positive = 0.01
    """How long the loop may be kept waiting."""
    verdict: Verdict
    """What one call does to the GIL, by itself."""
    concurrency: Annotated[list[AtLeastOne], msgspec.Meta(min_length=1)]
    stays: str = ""
    """Why the callable runs in the caller's process only; empty where it can be sent to another."""
    passages: list[Passage] = msgspec.field(default_factory=list)
