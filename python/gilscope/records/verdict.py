"""What a check found about a callable and the GIL: a frozen record, and the sentences that it prints."""

from __future__ import annotations

from typing import Literal

from gilscope.formatting import counted, duration
from gilscope.naming import quoted
from gilscope.records.base import SCHEMA, Amount, Count, Positive, Record
from gilscope.records.codec import decode, encode
from gilscope.records.machine import Machine

Kind = Literal["hogs", "yields", "releases", "no GIL", "undecided"]
Reason = Literal["", "too short", "something else held the GIL", "too few samples"]
"""Why a verdict is undecided. Empty for every other verdict, and in files of schema 1, which gave the reason in prose only."""

DEFAULT_SWITCH_INTERVAL_SECONDS = 0.005


class Waits(Record, frozen=True, kw_only=True):
    """How long a thread that asks for the GIL at a random moment of the call waits because of the call.

    The switch interval is shorter than usual during a check, so a thread waits less than usual for a call that yields.
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


class Verdict(Record, frozen=True, kw_only=True):
    """What a callable does to the GIL. ``str(verdict)`` is two or three sentences.

    What happens to a thread that asks for the GIL at a random moment of the call? It gets the GIL at once (``released``),
    it gets the GIL within the switch interval (``yielded``), or it waits for the end of a long hold: more than 1 ms without
    a break (``hogged``). These three are shares of the call's time and add up to 1. The largest decides the ``kind``.
    """

    format: Literal["gilscope"] = "gilscope"
    schema: int = SCHEMA
    record: Literal["verdict"] = "verdict"
    name: str
    """The callable or the statement that was checked."""
    kind: Kind
    reason: Reason = ""
    """Why the verdict is ``undecided``."""
    explanation: str = ""
    """The reason in a sentence, with its figures."""
    released: Amount | None
    """All three shares are ``None`` if there is no GIL."""
    yielded: Amount | None
    hogged: Amount | None
    longest_hold: Amount | None
    """The longest time for which a thread that had asked for the GIL waited for it."""
    long_holds: Count = 0
    """Samples that met a long hold; if there are any, ``longest_hold`` is the longest of these holds."""
    collecting: bool = False
    """Whether the longest hold was a garbage collection."""
    waits: Waits | None
    samples: Count
    """How often the GIL was asked for."""
    duration: Positive
    """Seconds of one call, without the time in which the thread waited for a CPU."""
    calls: Count
    cpu: Amount
    """Share of ``duration`` in which the calling thread computed."""
    background: Background | None
    endless: bool = False
    """Whether the call did not end, and was stopped."""
    switch_interval: Amount
    """The switch interval of the process outside the check, in seconds."""
    machine: Machine

    def __str__(self) -> str:
        return " ".join(sentences(self))

    @property
    def evidence(self) -> str:
        """The figures on one line."""
        if self.released is None or self.yielded is None or self.hogged is None or self.longest_hold is None:
            return f"{self._calls}, computing {self.cpu:.0%} of the time"
        return (
            f"released {self.released:.0%}, yielded {self.yielded:.0%}, hogged {self.hogged:.0%} of the time; "
            f"longest hold {duration(self.longest_hold)}; {counted(self.samples, 'sample')} in {self._calls}"
        )

    @property
    def _calls(self) -> str:
        if self.endless:
            return f"a call that was stopped after {duration(self.duration)}"
        return f"{counted(self.calls, 'call')} of {duration(self.duration)}"

    def to_json(self) -> str:
        """Return the verdict as indented JSON, with a newline at its end."""
        return encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Verdict:
        """Read a verdict of this schema or an older one. Raises ``ValueError`` for anything else."""
        return decode(cls, text.encode() if isinstance(text, str) else text, "the text")


WAYS_TO_RELEASE = "py.detach in PyO3, Py_BEGIN_ALLOW_THREADS in C, nogil in Cython"

REMEDY = {
    "hogs": f"Release the GIL around the work ({WAYS_TO_RELEASE}), do less work in each call, or use a process pool.",
    "yields": "A thread pool does not make it faster; a process pool or native code that releases the GIL does.",
    "releases": "Call it in a thread pool.",
    "no GIL": "Call it in a thread pool.",
    "too short": "Do more work in each call, 2 ms or more.",
    "something else held the GIL": "Check it while no other thread runs Python.",
    "too few samples": "Measure longer ({longer}), or on a quieter machine.",
    "": "Measure longer ({longer}), or on a quieter machine.",
}
"""What to do, by the verdict's kind; for an undecided verdict by its reason."""

MIN_SHARE_TO_MENTION = 0.05
MIN_HOGGED_SHARE_TO_SHOW = 0.005
MIN_BACKGROUND_TO_MENTION = 0.05


def sentences(verdict: Verdict, *, longer: str = "time=5") -> list[str]:
    """Return what ``verdict`` says, the kind first and the remedy last. ``longer`` is how its reader measures longer."""
    remedy = REMEDY[verdict.reason if verdict.kind == "undecided" else verdict.kind]
    return [_claim(verdict), *_details(verdict), *_background(verdict), remedy.format(longer=longer)]


def _claim(verdict: Verdict) -> str:
    ran = f"while {quoted(verdict.name)} ran ({_lasted(verdict)})"
    does = "computed" if verdict.cpu >= 0.5 else "waited"
    match verdict.kind:
        case "hogs":
            wait = duration(verdict.longest_hold or 0.0)
            return (
                f"hogs: {ran}, a thread that asked for the GIL waited for it up to {wait}. An event loop in this process "
                "stalls that long."
            )
        case "yields":
            turn = duration(verdict.switch_interval or DEFAULT_SWITCH_INTERVAL_SECONDS)
            return (
                f"yields: {ran}, a thread that asked for the GIL got it within the switch interval ({turn}). An event loop "
                "in this process waits that long at each turn."
            )
        case "releases":
            return f"releases: {ran}, the GIL was free {verdict.released:.0%} of the time, and the call mostly {does}."
        case "no GIL":
            return f"no GIL: {ran}, no thread could wait for the GIL: this Python has none, or it is off. The call mostly {does}."
        case "undecided":
            return f"undecided{f' ({verdict.reason})' if verdict.reason else ''}: {verdict.explanation}"


def _lasted(verdict: Verdict) -> str:
    if verdict.endless:
        return f"stopped after {duration(verdict.duration)}"
    return f"{duration(verdict.duration)} a call"


def _details(verdict: Verdict) -> list[str]:
    """Return a sentence for each smaller share that matters, and for long holds however small their share."""
    said = []
    released, yielded, hogged = verdict.released or 0.0, verdict.yielded or 0.0, verdict.hogged or 0.0
    if verdict.kind == "hogs":
        if released >= MIN_SHARE_TO_MENTION:
            said.append(f"For {released:.0%} of the time the GIL was free.")
        if yielded >= MIN_SHARE_TO_MENTION:
            said.append(f"For {yielded:.0%} of the time it yielded the GIL within the switch interval.")
        if verdict.collecting:
            said.append("The longest hold was a garbage collection.")
    elif verdict.kind in ("yields", "releases") and verdict.long_holds:
        share = f"{hogged:.1%} of the time" if hogged >= MIN_HOGGED_SHARE_TO_SHOW else "very rarely"
        met = "one sample" if verdict.long_holds == 1 else f"{verdict.long_holds} samples"
        collection = ", in a garbage collection" if verdict.collecting else ""
        said.append(
            f"But {met} met a hold without a break, of up to {duration(verdict.longest_hold or 0.0)}{collection} "
            f"({share}): an event loop stalls that long now and then."
        )
    if verdict.kind == "releases" and yielded >= MIN_SHARE_TO_MENTION:
        said.append(f"For {yielded:.0%} of the time it held the GIL, and yielded it within the switch interval.")
    return said


def _background(verdict: Verdict) -> list[str]:
    if verdict.background is None or verdict.background.held < MIN_BACKGROUND_TO_MENTION:
        return []
    held, longest = verdict.background.held, duration(verdict.background.longest)
    return [
        f"Before the call, something else in this process held the GIL {held:.0%} of the time, for up to {longest}."
    ]
