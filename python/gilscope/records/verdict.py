"""What a check found about a callable and the GIL: a frozen record, and the sentences that it prints."""

from __future__ import annotations

from typing import Literal

from gilscope.formatting import counted, duration
from gilscope.naming import quoted
from gilscope.records.base import SCHEMA, Amount, Count, Positive, Record
from gilscope.records.codec import decode, encode
from gilscope.records.machine import Machine
from gilscope.records.remedies import REMEDY
from gilscope.records.verdict_parts import Background, Kind, Reason, Waits

DEFAULT_SWITCH_INTERVAL_SECONDS = 0.005
SHORTEST_LONG_HOLD_SECONDS = 0.001
MIN_CORES_TO_MENTION = 1.2


class Verdict(Record, frozen=True, kw_only=True):
    """What a callable does to the GIL. ``str(verdict)`` is two or three sentences.

    What happens to a thread that asks for the GIL at a random moment of the call? It gets the GIL at once (``released``),
    it gets the GIL within the switch interval (``yielded``), or it waits for the end of a long hold: more than 1 ms without
    a break (``hogged``). These three are shares of the call's time and add up to 1. The largest decides the ``kind``, unless
    a thread really waits longer, most of the time, at the program's own switch interval (``starved``): that is a hog too.
    """

    format: Literal["gilscope"] = "gilscope"
    schema: int = SCHEMA
    record: Literal["verdict"] = "verdict"
    name: str
    """The callable or the statement that was checked."""
    kind: Kind
    reason: Reason = ""
    """Why the verdict is ``undecided``; of a hog, what is special about it."""
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
    longest_wait: Amount | None = None
    """The longest time for which a thread waited for the GIL at the program's own switch interval, because of one call; or
    the longest hold, if that is longer. Without the time in which the call's thread waited for a CPU. ``None`` if it was not
    measured."""
    usual_wait: Amount | None = None
    """Median over the calls of the longest wait in a call, if the call releases the GIL too briefly: how lucky a thread is
    differs from call to call. Otherwise ``None``."""
    longest_wait_elapsed: Amount | None = None
    """The longest wait by the clock, at the program's own switch interval: longer than ``longest_wait`` if other programs used
    the CPUs. ``None`` if it was not measured."""
    starved: Amount | None = None
    """Share of the time in which a thread that asks for the GIL waits longer than the switch interval and 1 ms, because the
    call releases it too briefly. ``None`` if it was not measured."""
    collecting: bool = False
    """Whether the longest hold was a garbage collection."""
    waits: Waits | None
    samples: Count
    """How often the GIL was asked for."""
    duration: Positive
    """Seconds of one call, without the time in which the thread waited for a CPU."""
    calls: Count
    real_calls: Count = 0
    """How many of them were made at the program's own switch interval."""
    first_call: Positive | None = None
    """How long the first call took, if it was unlike the others. The verdict is about the others."""
    cpu: Amount
    """Share of ``duration`` in which the process computed, or waited for a CPU to compute, 1 at most. In files of version 0.1, only the calling thread."""
    busy_cores: Amount | None = None
    """How many cores the process kept busy during the calls, the call's own threads included; ``None`` in older files."""
    background: Background | None
    endless: bool = False
    """Whether the call did not end, and was stopped."""
    switch_interval: Amount
    """The switch interval of the process outside the check, in seconds."""
    machine: Machine

    def __str__(self) -> str:
        return " ".join(sentences(self))

    @property
    def holds_per_call(self) -> float:
        """How many long holds there were in a call on average; 0 if no call ended."""
        calls = self.calls - self.real_calls - (self.first_call is not None)
        return self.long_holds / calls if calls > 0 else 0.0

    @property
    def stall(self) -> float:
        """How long an event loop in the process stalls because of a call.

        The longest hold without a break; or the longest wait, if that was longer than for code that yields.
        """
        turn = (self.switch_interval or DEFAULT_SWITCH_INTERVAL_SECONDS) + SHORTEST_LONG_HOLD_SECONDS
        wait = self.longest_wait or 0.0
        return max(self.longest_hold or 0.0, wait if wait > turn else 0.0)

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


MAX_STALL_SECONDS = 0.005
"""Without a limit of the reader's own, a longer stall of a loop in most calls comes first in the advice."""
MIN_SHARE_TO_MENTION = 0.05
MIN_HOGGED_SHARE_TO_SHOW = 0.005
MIN_BACKGROUND_TO_MENTION = 0.05
MIN_HOLDS_OF_MOST_CALLS = 0.5
MIN_TIMES_LONGER_TO_MENTION = 1.5
MIN_WAIT_TO_MENTION_SECONDS = 0.02


def sentences(verdict: Verdict, *, longer: str = "time=5", max_hold: float | None = None) -> list[str]:
    """Return what ``verdict`` says, the kind first and the remedy last.

    ``longer`` is how its reader measures longer, ``max_hold`` how long an event loop of the reader's may stall.
    """
    return [
        _claim(verdict),
        *_details(verdict),
        *_first_call(verdict),
        *_background(verdict),
        remedy(verdict, longer=longer, max_hold=max_hold),
    ]


def remedy(verdict: Verdict, *, longer: str = "time=5", max_hold: float | None = None) -> str:
    """Return what to do about ``verdict``."""
    key: str = verdict.reason or ("" if verdict.kind == "undecided" else verdict.kind)
    brief = _stalls_by_brief_releases(verdict)
    often = verdict.holds_per_call >= MIN_HOLDS_OF_MOST_CALLS or (
        brief and (verdict.starved or 0.0) >= MIN_SHARE_TO_MENTION
    )
    if verdict.kind == "releases" and (
        verdict.stall > MAX_STALL_SECONDS and often if max_hold is None else verdict.stall > max_hold
    ):
        key = "brief releases" if brief else "long holds"
    return REMEDY[key].format(longer=longer)


def _stalls_by_brief_releases(verdict: Verdict) -> bool:
    """Return whether a thread waits longer for releases that are too brief than for the end of a long hold."""
    return verdict.stall > (verdict.longest_hold or 0.0) and (verdict.starved or 0.0) >= MIN_HOGGED_SHARE_TO_SHOW


def _claim(verdict: Verdict) -> str:
    ran = f"while {quoted(verdict.name)} ran ({_lasted(verdict)})"
    wait = _longest_wait(verdict)
    turn = duration(verdict.switch_interval or DEFAULT_SWITCH_INTERVAL_SECONDS)
    match verdict.kind:
        case "hogs":
            return f"hogs: {ran}, a thread that asked for the GIL waited for it up to {wait}{_why_it_hogs(verdict)}."
        case "yields" if verdict.longest_wait is None:
            return (
                f"yields: {ran}, a thread that asked for the GIL got it within the switch interval ({turn}). An event loop "
                "in this process waits that long at each turn."
            )
        case "yields":
            return (
                f"yields: {ran}, a thread that asked for the GIL got it at the next switch (the interval is {turn}): it waited "
                f"up to {wait}. An event loop in this process waits that long at each turn."
            )
        case "releases":
            return f"releases: {ran}, the GIL was free {verdict.released:.0%} of the time, and {_did(verdict)}."
        case "no GIL":
            return f"no GIL: {ran}, no thread could wait for the GIL: this Python has none, or it is off. {_did(verdict).capitalize()}."
        case "undecided":
            return f"undecided{f' ({verdict.reason})' if verdict.reason else ''}: {verdict.explanation}"


def _longest_wait(verdict: Verdict) -> str:
    wait = verdict.longest_hold or 0.0 if verdict.longest_wait is None else verdict.longest_wait
    elapsed = verdict.longest_wait_elapsed or 0.0
    more = []
    if verdict.usual_wait is not None and verdict.usual_wait * MIN_TIMES_LONGER_TO_MENTION < wait:
        more.append(f"in half of the calls up to {duration(verdict.usual_wait)}")
    if elapsed > max(MIN_TIMES_LONGER_TO_MENTION * wait, MIN_WAIT_TO_MENTION_SECONDS):
        more.append(f"{duration(elapsed)} by the clock, on this busy machine")
    return f"{duration(wait)} ({'; '.join(more)})" if more else duration(wait)


def _why_it_hogs(verdict: Verdict) -> str:
    if verdict.reason == "brief releases":
        return (
            ". The call releases the GIL again and again, but too briefly for another thread to acquire it: an event loop in "
            "this process stalls that long"
        )
    if verdict.reason == "deadlock":
        return ": the call held the GIL, and neither computed nor ended. That is probably a deadlock"
    return ". An event loop in this process stalls that long"


def _did(verdict: Verdict) -> str:
    if verdict.busy_cores is not None and verdict.busy_cores >= MIN_CORES_TO_MENTION:
        return f"the call computed on {verdict.busy_cores:.1f} cores"
    return f"the call mostly {'computed' if verdict.cpu >= 0.5 else 'waited'}"


def _lasted(verdict: Verdict) -> str:
    if verdict.endless:
        return f"stopped after {duration(verdict.duration)}"
    return f"{duration(verdict.duration)} a call"


def _details(verdict: Verdict) -> list[str]:
    """Return a sentence for each smaller share that matters, and for long holds however small their share."""
    said = []
    released, yielded = verdict.released or 0.0, verdict.yielded or 0.0
    if verdict.kind == "hogs" and verdict.reason != "brief releases":
        if released >= MIN_SHARE_TO_MENTION:
            said.append(f"For {released:.0%} of the time the GIL was free.")
        if yielded >= MIN_SHARE_TO_MENTION:
            said.append(f"For {yielded:.0%} of the time it yielded the GIL within the switch interval.")
    if verdict.kind == "hogs" and verdict.collecting:
        said.append("The longest hold was a garbage collection.")
    elif verdict.kind in ("yields", "releases") and verdict.long_holds:
        said.append(_holds(verdict))
    if verdict.kind == "releases" and yielded >= MIN_SHARE_TO_MENTION:
        said.append(f"For {yielded:.0%} of the time it held the GIL, and yielded it within the switch interval.")
    if verdict.kind in ("yields", "releases") and verdict.stall > (verdict.longest_hold or 0.0):
        why = (
            f"while the call released it only briefly, again and again ({verdict.starved:.1%} of the time)"
            if _stalls_by_brief_releases(verdict)
            else "because several threads took turns"
        )
        said.append(f"But a thread waited for the GIL up to {duration(verdict.stall)}, {why}.")
    return said


def _holds(verdict: Verdict) -> str:
    hogged = verdict.hogged or 0.0
    share = f"{hogged:.1%} of the time" if hogged >= MIN_HOGGED_SHARE_TO_SHOW else "very rarely"
    collection = ", in a garbage collection" if verdict.collecting else ""
    often = verdict.holds_per_call
    if often >= 1.5:
        how_often, stalls = f"{often:.0f} times in every call", "stalls that long each time"
    elif often >= MIN_HOLDS_OF_MOST_CALLS:
        how_often, stalls = "in every call", "stalls that long each time"
    elif often:
        how_often, stalls = f"in one of {1 / often:.0f} calls", "stalls that long now and then"
    else:
        how_often, stalls = counted(verdict.long_holds, "time"), "stalls that long now and then"
    return (
        f"But {how_often} it held the GIL without a break, for up to {duration(verdict.longest_hold or 0.0)}{collection} "
        f"({share}): an event loop {stalls}."
    )


def _first_call(verdict: Verdict) -> list[str]:
    if verdict.first_call is None:
        return []
    took = duration(verdict.first_call)
    why = "as when it compiles, imports or fills a cache"
    return [f"The first call was unlike the others: it took {took}, {why}. The verdict is about the others."]


def _background(verdict: Verdict) -> list[str]:
    if verdict.background is None or verdict.background.held < MIN_BACKGROUND_TO_MENTION:
        return []
    held, longest = verdict.background.held, duration(verdict.background.longest)
    return [
        f"Before the call, something else in this process held the GIL {held:.0%} of the time, for up to {longest}."
    ]
