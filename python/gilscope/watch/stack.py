"""Finds in a stack the frames of the loop's callback, and in them the frame whose code is to blame.

A frame is recognised by its file and its function together: programs have classes named ``Runner`` and ``Handle`` as well.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import selectors
from pathlib import Path
from typing import TYPE_CHECKING

from gilscope.watch.origin import Origin, origin_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilscope.records.stall import Frame

HANDLE = asyncio.Handle._run.__code__.co_filename  # noqa: SLF001 - the file that stacks show for it
LOOP = asyncio.BaseEventLoop.run_forever.__code__.co_filename
RUNNERS = asyncio.Runner.run.__code__.co_filename
ASYNCIO = str(Path(HANDLE).parent)
SELECTORS = selectors.DefaultSelector.select.__code__.co_filename

FUTURES = concurrent.futures.Future.set_result.__code__.co_filename

ENDS_OF_CALLS = {(FUTURES, "Future.set_result"), (FUTURES, "Future.set_exception")}
"""What a thread of a pool runs when the call that it was given has returned."""
BELOW_CALLBACKS = {
    (RUNNERS, "Runner.run"),
    (LOOP, "BaseEventLoop.run_forever"),
    (LOOP, "BaseEventLoop.run_until_complete"),
}
"""Functions that run a loop. A native loop has no frame of its own: its callbacks stand directly above one of these."""


def culprit(stack: Sequence[Frame]) -> Frame | None:
    """Return the innermost frame of the code that is closest to the user's own; never one of gilscope's."""
    return _closest(stack)


def callback(frames: Sequence[Frame]) -> Frame | None:
    """Return, of the frames of a callback, the outermost one of the code that is closest to the user's own."""
    return _closest(frames[::-1])


def callback_frames(stack: Sequence[Frame], above: int | None = None) -> tuple[Frame, ...]:
    """Return the frames of the callback that the loop is running, innermost first; empty if it is running none.

    ``above`` is how many frames lie above the one from which the loop calls its callbacks: all, if the program has switched
    stacks, as greenlet does; ``None`` if it is unknown.
    """
    for index, frame in enumerate(stack):
        place = (frame.file, frame.function)
        # asyncio runs a callback in `Handle._run`. A task's step is native and has no frame.
        if place == (HANDLE, "Handle._run"):
            return tuple(stack[:index])
        if place == (LOOP, "BaseEventLoop._run_once"):
            return _on_top_of_the_loop(stack[:index])
        if index == above or place in BELOW_CALLBACKS or _is_own_wrapper(frame):
            return tuple(stack[:index])
    return tuple(stack) if above == len(stack) else ()


def has_returned(stack: Sequence[Frame]) -> bool:
    """Whether a thread of a pool is passing the result of its call on, and runs nothing but the standard library's code there."""
    for index, frame in enumerate(stack):
        if (frame.file, frame.function) in ENDS_OF_CALLS:
            return all(origin_of(above.file) is Origin.STANDARD for above in stack[:index])
    return False


def _on_top_of_the_loop(frames: Sequence[Frame]) -> tuple[Frame, ...]:
    """Return what runs on top of the loop's own code, such as a signal handler on top of the selector; mostly nothing."""
    for index in range(len(frames), 0, -1):
        file = frames[index - 1].file
        if file != SELECTORS and Path(file).parent != Path(ASYNCIO):
            return tuple(frames[:index])
    return ()


def _is_own_wrapper(frame: Frame) -> bool:
    return frame.function.endswith(".run_forever") and origin_of(frame.file) is Origin.GILSCOPE


def _closest(frames: Sequence[Frame]) -> Frame | None:
    """Return the first frame of the lowest origin."""
    origins = {frame: origin_of(frame.file, frame.function) for frame in frames}
    candidates = [frame for frame in frames if frame.file and origins[frame] is not Origin.GILSCOPE]
    return min(candidates, key=origins.__getitem__, default=None)
