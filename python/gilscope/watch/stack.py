"""Finds in a stack the frame of the user's code, and the frames of the loop's callback."""

from __future__ import annotations

import sysconfig
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilscope.records.stall import Frame

OURS = str(Path(__file__).parents[1])
LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")} | {"<frozen "})
HANDLES = str(Path(sysconfig.get_path("stdlib")) / "asyncio" / "events.py")


@lru_cache(4096)
def is_users(file: str) -> bool:
    """Whether ``file`` is outside of the standard library, of site-packages and of gilscope."""
    return not file.startswith((*LIBRARIES, OURS)) and "site-packages" not in file


def culprit(stack: Sequence[Frame]) -> Frame | None:
    """Return the innermost frame of the user's code; if there is none, of a library; never one of gilscope's."""
    for frame in stack:
        if is_users(frame.file):
            return frame
    return next((frame for frame in stack if not frame.file.startswith(OURS)), None)


def callback_frames(stack: Sequence[Frame]) -> tuple[Frame, ...]:
    """Return the frames of the callback that the loop is running, innermost first; empty if it is running none."""
    for index, frame in enumerate(stack):
        # asyncio runs a callback in `Handle._run`. A task's step is native and has no frame.
        if frame.function == "Handle._run" and frame.file == HANDLES:
            return tuple(stack[:index])
        if frame.function.startswith("BaseEventLoop."):
            return ()  # in the loop's own code: it polls, mostly
        # Native loops call their callbacks directly from the `run_forever` that gilscope has wrapped, or from `Runner.run`.
        if frame.function == "Runner.run" or (frame.function.endswith(".run_forever") and frame.file.startswith(OURS)):
            return tuple(stack[:index])
    return ()


def callback(stack: Sequence[Frame]) -> Frame | None:
    """Return the outermost frame of the user's code in the loop's callback or coroutine; if there is none, of any code."""
    frames = callback_frames(stack)
    return next((frame for frame in reversed(frames) if is_users(frame.file)), frames[-1] if frames else None)
