"""Stalls, frames and durations in a few words, without any library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gilscope.records.stall import Frame, Stall


def line(stall: Stall) -> str:
    """Return ``stall`` in one line: what ``--live`` prints."""
    where = f" at {short(stall.culprit)}" if stall.culprit else ""
    thread = f" (thread {stall.culprit_thread})" if stall.culprit_thread else ""
    return f"gilscope: {stall.start:8.2f} s: stalled for {length(stall.duration)}: {stall.cause}{where}{thread}"


def short(frame: Frame) -> str:
    """Return a frame with its file as short as it can be said from here."""
    try:
        file = str(Path(frame.file).relative_to(Path.cwd()))
    except (ValueError, OSError):
        file = frame.file
    return f"{file}:{frame.line} in {frame.function}"


def length(duration: float | None) -> str:
    """Return a duration to three digits, in the unit that suits it."""
    if duration is None:
        return "-"
    if duration < 0.001:
        return f"{duration * 1e6:.3g} us"
    return f"{duration * 1000:.3g} ms" if duration < 1 else f"{duration:.2f} s"
