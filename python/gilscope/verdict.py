"""What a check found: a frozen record, in words and in JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

from gilscope.figures import counted, duration
from gilscope.records import SCHEMA, Amount, Count, Machine, Positive, Record

Kind = Literal["hogs", "yields", "releases", "no GIL", "too short"]

SWITCH_INTERVAL = 0.005
"""Python's, unless it is changed: what is said of a callable that yields speaks of it."""


class Waits(Record, frozen=True, kw_only=True):
    """How long a thread waits that asks for the GIL at a random moment of the call, as far as it is the call's doing.

    A thread that yields is asked sooner than usual during a check, so its waits are shorter than usual.
    """

    p50: Amount
    p90: Amount
    p99: Amount
    max: Amount


class Baseline(Record, frozen=True, kw_only=True):
    """The process just before, while the calling thread slept."""

    held: Amount
    """The share of the time in which something else had the GIL."""
    longest: Amount
    """The longest wait for it."""


class Verdict(Record, frozen=True, kw_only=True):
    """What a callable does to the GIL. ``str`` of it is two or three sentences.

    The rule: what happens to a thread that asks for the GIL at a random moment of the call? It has it at once
    (``released``), it is given it within the switch interval (``yielded``), or it waits for the end of a stretch of more
    than 1 ms that nothing interrupts (``hogged``). The three are shares of the call's time and add up to 1. The largest
    is the ``kind``.
    """

    format: Literal["gilscope"] = "gilscope"
    schema: int = SCHEMA
    record: Literal["verdict"] = "verdict"
    name: str
    """What was checked."""
    kind: Kind
    released: Amount | None
    """The shares are ``None`` where there is no GIL."""
    yielded: Amount | None
    hogged: Amount | None
    longest_hold: Amount | None
    """The longest time for which the GIL was kept from a thread that had asked for it."""
    stretch: Amount | None = None
    """The longest stretch of more than 1 ms that nothing interrupted, if there was one."""
    stretches: Count = 0
    """How many of them were met."""
    collecting: bool = False
    """Whether a garbage collection made the longest stretch."""
    waits: Waits | None
    knocks: Count
    """How often the GIL was asked for."""
    duration: Positive
    """One call; time in which the system gave the thread no processor is not in it."""
    calls: Count
    cpu: Amount
    """The share of ``duration`` in which the calling thread computed."""
    baseline: Baseline | None
    settle: str = ""
    """Where the kind is ``too short``: why there is no other, and what would settle it."""
    endless: bool = False
    """Whether the call was ended from outside, because it did not end."""
    interval: Amount
    """The usual switch interval of the process."""
    machine: Machine

    def __str__(self) -> str:
        from gilscope.wording import sentences

        return " ".join(sentences(self))

    @property
    def evidence(self) -> str:
        """The figures in one line."""
        if self.released is None or self.yielded is None or self.hogged is None or self.longest_hold is None:
            return f"{self._calls}, computing {self.cpu:.0%} of the time"
        return (
            f"released {self.released:.0%}, yielded {self.yielded:.0%}, hogged {self.hogged:.0%} of the time; "
            f"longest hold {duration(self.longest_hold)}; {counted(self.knocks, 'knock')} in {self._calls}"
        )

    @property
    def _calls(self) -> str:
        if self.endless:
            return f"a call that was ended after {duration(self.duration)}"
        return f"{counted(self.calls, 'call')} of {duration(self.duration)}"

    def to_json(self) -> str:
        """Return the verdict as JSON, with a newline at its end."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1).decode() + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Verdict:
        """Read a verdict. Raises ``ValueError`` (msgspec's) for what is none, or has a newer schema."""
        verdict = msgspec.json.decode(text, type=cls)
        if verdict.schema > SCHEMA:
            raise ValueError(f"the verdict has schema {verdict.schema}, and this gilscope reads up to {SCHEMA}")
        return verdict
