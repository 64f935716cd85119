"""Which frame of a stack is the user's, and which is the loop's callback."""

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
SELECTORS = str(Path(sysconfig.get_path("stdlib")) / "selectors.py")
HANDLES = str(Path(sysconfig.get_path("stdlib")) / "asyncio" / "events.py")


@lru_cache(4096)
def is_users(file: str) -> bool:
    """Whether ``file`` is outside of the standard library, of site-packages and of gilscope."""
    return not file.startswith((*LIBRARIES, OURS)) and "site-packages" not in file


def culprit(stack: Sequence[Frame]) -> Frame | None:
    """Return the innermost frame of the user's; of a library's, if there is none; never one of gilscope's."""
    for frame in stack:
        if is_users(frame.file):
            return frame
    return next((frame for frame in stack if not frame.file.startswith(OURS)), None)


def within(stack: Sequence[Frame]) -> tuple[Frame, ...]:
    """Return the frames of the callback that the loop is in, innermost first; none if it is in none."""
    for index, frame in enumerate(stack):
        # asyncio runs a callback in `Handle._run`; a task's step has no frame of its own, being native.
        if frame.function == "Handle._run" and frame.file == HANDLES:
            return tuple(stack[:index])
        if frame.function.startswith("BaseEventLoop."):
            return ()  # in the loop's own business: it polls, mostly
        # Native loops run their callbacks right under the `run_forever` that gilscope has wrapped, or under `Runner.run`.
        if frame.function == "Runner.run" or (frame.function.endswith(".run_forever") and frame.file.startswith(OURS)):
            return tuple(stack[:index])
    return ()


def callback(stack: Sequence[Frame]) -> Frame | None:
    """Return the outermost frame of the user's in the callback, or coroutine, that the loop is in; of any, if none is."""
    frames = within(stack)
    return next((frame for frame in reversed(frames) if is_users(frame.file)), frames[-1] if frames else None)
