"""Finds in a stack the frames of the loop's callback, and in them the frame whose code is to blame.

A frame is recognised by its file and its function together: programs have classes named ``Runner`` and ``Handle`` as well.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import concurrent.futures.thread
import selectors
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from gilscope.watch.origin import Origin, local, origin_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilscope.records.stall import Frame

HANDLE = asyncio.Handle._run.__code__.co_filename  # noqa: SLF001 - the file that stacks show for it
LOOP = asyncio.BaseEventLoop.run_forever.__code__.co_filename
RUNNERS = asyncio.Runner.run.__code__.co_filename
ASYNCIO = str(Path(HANDLE).parent)
SELECTORS = selectors.DefaultSelector.select.__code__.co_filename

THREADING = threading.__file__
FUTURES = concurrent.futures.Future.set_result.__code__.co_filename

ENDS_OF_CALLS = {(FUTURES, "Future.set_result"), (FUTURES, "Future.set_exception")}
"""What a thread of a pool runs when the call that it was given has returned."""
MAKES_CALLS = (concurrent.futures.thread.__file__, "_WorkItem.run")
"""What calls the function in a thread of a pool. Above it, the core adds the function that has returned."""
WAITS_FOR_CALLS = (concurrent.futures.thread.__file__, "_worker")
BELOW_CALLBACKS = {
    (RUNNERS, "Runner.run"),
    (LOOP, "BaseEventLoop.run_forever"),
    (LOOP, "BaseEventLoop.run_until_complete"),
}
"""Functions that run a loop. A native loop has no frame of its own: its callbacks stand directly above one of these."""

RUNS_CALLBACK = (HANDLE, "Handle._run")
RUN_ONCE = (LOOP, "BaseEventLoop._run_once")
OF_LOOPS = {RUNS_CALLBACK, RUN_ONCE, *BELOW_CALLBACKS}


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
        place = _place(frame)
        # asyncio runs a callback in `Handle._run`. A task's step is native and has no frame, and a callback may be so too.
        if place == RUNS_CALLBACK:
            return tuple(stack[:index]) or (frame,)
        if place == RUN_ONCE:
            return _on_top_of_the_loop(stack[:index])
        if index == above or place in BELOW_CALLBACKS:
            return tuple(stack[:index])
    return tuple(stack) if above == len(stack) else ()


def busy_frames(stack: Sequence[Frame], above: int | None = None) -> tuple[Frame, ...]:
    """Return the frames of the callback that a busy loop is running; if it is running none, those of the loop itself.

    Innermost first, and ``above`` as for :func:`callback_frames`.
    """
    if frames := callback_frames(stack, above):
        return frames
    for index, frame in enumerate(stack):
        if index == above or _place(frame) in OF_LOOPS:
            return tuple(stack[: index + 1])
    return tuple(stack)


def is_of_loop(frame: Frame) -> bool:
    """Whether this is a frame of an event loop, below those of its callbacks."""
    return _place(frame) in OF_LOOPS


def origin(frame: Frame) -> Origin | None:
    """Return whose code this is; ``None`` for what is never a culprit."""
    found = origin_of(frame.file, frame.function) if frame.file else Origin.GILSCOPE
    return None if found is Origin.GILSCOPE else found


def before_return(stack: Sequence[Frame]) -> tuple[Frame, ...]:
    """Return the stack without what passes the result of a call on, if a thread of a pool does nothing else.

    Then the stack begins with the function that was called, at its first line. Empty if that is unknown.
    """
    places = [*map(_place, stack)]
    if WAITS_FOR_CALLS in places and MAKES_CALLS not in places:
        return ()
    for index, frame in enumerate(stack):
        if _place(frame) in ENDS_OF_CALLS:
            if any(origin_of(above.file) is not Origin.STANDARD for above in stack[:index]):
                break  # a callback of the future's
            below = tuple(stack[index + 1 :])
            return below if len(below) > 1 and _place(below[1]) == MAKES_CALLS else ()
    return tuple(stack)


def _place(frame: Frame) -> tuple[str, str]:
    return local(frame.file), frame.function


def starts_thread(stack: Sequence[Frame]) -> bool:
    """Whether a thread is waiting for a thread that it has started: until that one has had the GIL for the first time."""
    for frame in stack:
        if local(frame.file) != THREADING:
            return False
        if frame.function == "Thread.start":
            return True
    return False


def _on_top_of_the_loop(frames: Sequence[Frame]) -> tuple[Frame, ...]:
    """Return what runs on top of the loop's own code, such as a signal handler on top of the selector; mostly nothing."""
    for index in range(len(frames), 0, -1):
        file = local(frames[index - 1].file)
        if file != SELECTORS and Path(file).parent != Path(ASYNCIO):
            return tuple(frames[:index])
    return ()


def _closest(frames: Sequence[Frame]) -> Frame | None:
    """Return the first frame of the lowest origin."""
    origins = {frame: found for frame in frames if (found := origin(frame)) is not None}
    return min((frame for frame in frames if frame in origins), key=origins.__getitem__, default=None)
