"""One callable under every strategy: what a comparison adds to its trials."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gilscope.records.base import Amount, AtLeastOne, Count, Positive, Record
from gilscope.records.verdict import Verdict

Failure = Literal[
    "unknown",
    "strategy unavailable",
    "no executor",
    "not importable",
    "no main guard",
    "cannot be pickled",
    "result cannot be pickled",
    "raised while loading",
    "raised in worker",
    "worker died",
    "timed out",
]
"""Why a round trip failed. ``not importable``: a worker does not find a function or a class under its name."""


class RoundTrip(Record, frozen=True, kw_only=True):
    """One call on a fresh worker of a strategy: whether it worked, and the overhead of a call there.

    All durations are seconds. CPU times do not depend on how busy the machine is.
    """

    strategy: str
    failure: Failure | None = None
    """Why the callable, its arguments or its result did not make the round trip; ``None`` if they did."""
    reason: str = ""
    """The failure in words."""
    answer: Literal["same", "differs", "not compared"] = "not compared"
    """Whether the result equals that of a call in the parent."""
    note: str = ""
    """Why it was not compared, or how it differs."""
    empty: Amount | None = None
    """The median time of an empty call without arguments."""
    overhead: Amount | None = None
    """The median time of an empty call with these arguments and this result."""
    overhead_cpu: Amount | None = None
    """The CPU time of such a call, in the caller's process and its children."""
    pickling: Amount | None = None
    """The CPU time that pickling the arguments takes in the caller's process. Its event loop does not run meanwhile."""
    unpickling: Amount | None = None
    """The same for unpickling the result."""
    argument_bytes: Count | None = None
    """The size of the pickled arguments; ``None`` if they are not pickled."""
    result_bytes: Count | None = None
    """The size of the pickled result; ``None`` if it is not pickled."""
    shared: bool = False
    """Whether the workers use the caller's own objects and its GIL, so that nothing is copied."""
    supervised: bool = True
    """Whether the call was made from a process of its own, and not from the caller's."""

    @property
    def works(self) -> bool:
        """Whether the callable, its arguments and its result made the round trip."""
        return self.failure is None


class Comparison(Record, frozen=True, kw_only=True):
    """One callable under every strategy: what the trials of a result of the kind ``compare`` are about."""

    subject: str
    """What was compared, as its user writes it."""
    setup: list[str] = msgspec.field(default_factory=list)
    budget: Positive = 0.01
    """The longest acceptable lag of the event loop, in seconds."""
    verdict: Verdict
    """What one call does to the GIL, by itself."""
    concurrency: Annotated[list[AtLeastOne], msgspec.Meta(min_length=1)]
    """The numbers of calls at once that were tried."""
    in_process_reason: str = ""
    """Why the callable runs only in the caller's process; empty if it can be sent to another."""
    round_trips: list[RoundTrip] = msgspec.field(default_factory=list)
