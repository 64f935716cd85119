"""Sees which event loops run: those that run already, and those that begin to run from now on, in any thread.

Every loop calls ``asyncio.events._set_running_loop`` when it begins to run and when it stops: those of asyncio, uvloop's,
nest_asyncio's, and any other class with a ``run_forever`` of its own. While somebody listens, a native function stands in
its place. It has no frame, so the program's tracebacks stay as they are.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from types import MethodType, ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from gilscope._core import RunForever, SetRunningLoop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


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
    """Return the loops that run in other threads now, as far as the frames of these threads lead to them."""
    own = threading.get_ident()
    found: list[asyncio.AbstractEventLoop] = []
    for ident, innermost in sys._current_frames().items():  # noqa: SLF001 - documented, for debuggers
        if ident == own:
            continue
        frame: FrameType | None = innermost
        while frame is not None:
            for candidate in _reachable(frame):
                if _is_loop(candidate) and candidate.is_running() and all(candidate is not loop for loop in found):
                    found.append(candidate)
            frame = frame.f_back
    return found


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


def _reachable(frame: FrameType) -> Iterator[Any]:
    """Yield the objects that a frame runs on: its variables, their attributes, and the objects of bound methods.

    A native ``run_forever`` has no frame. Whoever called it got the loop from one of these, as ``Thread.run`` did from its
    ``_target``.
    """
    variables = list(frame.f_locals.values())
    variables += [frame.f_globals[name] for name in frame.f_code.co_names if name in frame.f_globals]
    for variable in variables:
        yield variable
        yield _bound_to(variable)
        try:
            attributes = object.__getattribute__(variable, "__dict__")
        except AttributeError:
            continue
        if isinstance(variable, type | ModuleType):
            continue
        for attribute in tuple(attributes.values()):
            yield attribute
            yield _bound_to(attribute)


def _bound_to(candidate: object) -> object:
    return candidate.__self__ if type(candidate) is MethodType else None


def _is_loop(candidate: object) -> bool:
    return issubclass(type(candidate), asyncio.AbstractEventLoop)  # not isinstance: that runs code of proxies and mocks


_stand_in = SetRunningLoop(
    set=asyncio.events._set_running_loop,  # noqa: SLF001 - what loops call
    get=asyncio.events._get_running_loop,  # noqa: SLF001 - the public one raises
    begin=_begin,
    end=_end,
)
