"""What a check found: a frozen record, in words and in JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

from gilscope.formatting import counted, duration
from gilscope.naming import quoted
from gilscope.records.base import SCHEMA, Amount, Count, Positive, Record
from gilscope.records.machine import Machine

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


RELEASE = "py.detach in PyO3, Py_BEGIN_ALLOW_THREADS in C, nogil in Cython"

REMEDY = {
    "hogs": f"Release the GIL around the work ({RELEASE}), give it less at a time, or call it in a process pool.",
    "yields": "A thread pool does not make it faster; a process pool, or native code that releases the GIL, does.",
    "releases": "A thread pool is the right place for it.",
    "no GIL": "A thread pool is the right place for it.",
}
SMALL = 0.005
"""A share under this is not worth a sentence."""
NOISY = 0.05
"""A baseline above this is."""


def sentences(verdict: Verdict) -> list[str]:
    """Return what ``verdict`` says, the word first."""
    said = [_claim(verdict), *_beside(verdict), *_elsewhere(verdict)]
    if verdict.kind in REMEDY:
        said.append(REMEDY[verdict.kind])
    return said


def _claim(verdict: Verdict) -> str:
    ran = f"while {quoted(verdict.name)} ran ({_lasted(verdict)})"
    wait = duration(verdict.longest_hold or 0.0)
    does = "computed" if verdict.cpu >= 0.5 else "mostly waited"
    match verdict.kind:
        case "hogs":
            return (
                f"hogs: {ran}, a thread that asked for the GIL waited up to {wait}. An event loop in this process stalls "
                "that long."
            )
        case "yields":
            turn = duration(verdict.interval or SWITCH_INTERVAL)
            return (
                f"yields: {ran}, a thread that asked for the GIL was given it at the next switch, {turn} after it asked. "
                "An event loop in this process is late by that much at each turn."
            )
        case "releases":
            return f"releases: {ran}, the GIL was free {verdict.released:.0%} of the time; the call {does} meanwhile."
        case "no GIL":
            return f"no GIL: {ran}, nothing could wait for it: this Python has none, or it is off; the call {does}."
        case "too short":
            return f"too short: {verdict.settle}"


def _lasted(verdict: Verdict) -> str:
    if verdict.endless:
        return f"it was ended after {duration(verdict.duration)}"
    return f"{duration(verdict.duration)} a call"


def _beside(verdict: Verdict) -> list[str]:
    """Tell what else the call does, a small share with a long stretch too."""
    said = []
    if verdict.kind == "hogs" and (verdict.released or 0) >= 0.05:
        said.append(f"For {verdict.released:.0%} of the time the GIL was free.")
    if verdict.kind == "hogs" and (verdict.yielded or 0) >= 0.05:
        said.append(f"For {verdict.yielded:.0%} of the time it would have been given up if asked.")
    if verdict.kind in ("yields", "releases") and verdict.stretch is not None:
        share = f"{verdict.hogged:.1%} of the time" if (verdict.hogged or 0) >= SMALL else "very rarely"
        once = "once" if verdict.stretches == 1 else f"{verdict.stretches} times"
        why = ", by a garbage collection" if verdict.collecting else ""
        said.append(
            f"But it was held for up to {duration(verdict.stretch)} in one stretch{why} ({share}; met {once}): an event "
            "loop stalls that long now and then."
        )
    elif verdict.kind == "hogs" and verdict.collecting:
        said.append("The longest stretch was a garbage collection.")
    if verdict.kind == "releases" and (verdict.yielded or 0) >= 0.05:
        said.append(f"For {verdict.yielded:.0%} of the time it was held, and given up within the switch interval.")
    return said


def _elsewhere(verdict: Verdict) -> list[str]:
    if verdict.baseline is None or verdict.baseline.held < NOISY:
        return []
    held, longest = verdict.baseline.held, duration(verdict.baseline.longest)
    return [f"Something else in this process held the GIL {held:.0%} of the time before the call, for up to {longest}."]
