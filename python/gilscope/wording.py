"""A verdict in words that a person can act on: what happened, what that does to an event loop, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.figures import duration
from gilscope.naming import quoted
from gilscope.verdict import SWITCH_INTERVAL

if TYPE_CHECKING:
    from gilscope.verdict import Verdict

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
