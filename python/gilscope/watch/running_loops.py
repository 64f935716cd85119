"""Sees which event loops run: those that run already, and those that begin to run from now on, in any thread.

Every loop calls ``asyncio.events._set_running_loop`` when it begins to run and when it stops: those of asyncio, uvloop's,
nest_asyncio's, and any other class with a ``run_forever`` of its own. While somebody listens, a native function stands in
its place. It has no frame, so the program's tracebacks stay as they are.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from gilscope._core import RunForever, SetRunningLoop, current_frames

if TYPE_CHECKING:
    from collections.abc import Iterator


class Listener(Protocol):
    """What is called, in the loop's thread, when a loop begins to run and when it has stopped. It must not raise."""

    def begin(self, loop: asyncio.AbstractEventLoop) -> None: ...
    def end(self, loop: asyncio.AbstractEventLoop) -> None: ...


NAME = "_set_running_loop"
_listeners: list[Listener] = []
_process = 0
"""The process of the listeners. In a forked child asyncio ends the parent's loop before the listeners have been dropped."""
_wrapped: list[tuple[Any, Any, RunForever]] = []
"""For each native class whose ``run_forever`` is wrapped: the class, the original, the wrapper."""


def listen(listener: Listener) -> None:
    """Call ``listener`` for every loop that begins to run or stops from now on."""
    global _process  # noqa: PLW0603 - one for the process
    _process = os.getpid()
    _listeners.append(listener)
    if len(_listeners) > 1:
        return
    _replace(_stand_in.original, _stand_in)
    if uvloop := sys.modules.get("uvloop"):
        _wrap(uvloop.Loop)  # it may have been imported when the original function was there, and has kept that one


def is_listening(listener: Listener) -> bool:
    return listener in _listeners


def ignore(listener: Listener) -> None:
    """Call ``listener`` no more. With the last one, the original functions return to their places."""
    if listener in _listeners:
        _listeners.remove(listener)
    if _listeners:
        return
    _replace(_stand_in, _stand_in.original)
    while _wrapped:
        owner, original, wrapper = _wrapped.pop()
        # If another wrapper is around ours, it stays and calls ours, which has no effect now.
        if owner.__dict__.get("run_forever") is wrapper:
            if original is None:
                del owner.run_forever
            else:
                owner.run_forever = original


def running_elsewhere() -> list[asyncio.AbstractEventLoop]:
    """Return the loops that run in other threads now."""
    if len(current_frames()) == 1:
        return []
    own = asyncio._get_running_loop()  # noqa: SLF001 - the public one raises
    kinds = set(_classes(asyncio.AbstractEventLoop))
    # A native `run_forever` has no frame that would lead to its loop. But each object refers to its class.
    loops = [loop for loop in gc.get_referrers(*kinds) if type(loop) in kinds]
    return [loop for loop in loops if loop is not own and _runs(loop)]


def _classes(base: type) -> Iterator[type]:
    yield base
    derived: list[type] = type.__subclasses__(base)
    for kind in derived:
        yield from _classes(kind)


def _runs(loop: asyncio.AbstractEventLoop) -> bool:
    with suppress(Exception):  # it may have been made by half
        return loop.is_running()
    return False


def _begin(loop: asyncio.AbstractEventLoop) -> None:
    if _process == os.getpid():
        for listener in tuple(_listeners):
            listener.begin(loop)


def _end(loop: asyncio.AbstractEventLoop) -> None:
    if _process == os.getpid():
        for listener in tuple(_listeners):
            listener.end(loop)


def _replace(function: Any, by: Any) -> None:
    """Put ``by`` in the place of ``function`` in every module that has it under its own name."""
    for module in tuple(sys.modules.values()):
        if issubclass(type(module), ModuleType):  # cffi's libraries say that they are modules, and have no `__dict__`
            names = object.__getattribute__(module, "__dict__")  # a lazy module must not load because of this
            if names.get(NAME) is function:
                names[NAME] = by


def _wrap(owner: Any) -> None:
    own = owner.__dict__.get("run_forever")
    wrapper = RunForever(owner.run_forever, begin=_begin, end=_end)
    owner.run_forever = wrapper
    _wrapped.append((owner, own, wrapper))


_stand_in = SetRunningLoop(
    set=asyncio.events._set_running_loop,  # noqa: SLF001 - what loops call
    get=asyncio.events._get_running_loop,  # noqa: SLF001 - the public one raises
    begin=_begin,
    end=_end,
)
