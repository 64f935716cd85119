"""How a parent has a child process call a function: the one protocol for all children.

The parent writes the function's dotted name and its argument to one file. The child calls the function and writes what it
returns to another file. Neither side of the protocol imports the functions that children run.
"""

from __future__ import annotations

import inspect
import os
import sys
import threading
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import msgspec

from gilscope.isolated import supervise

if TYPE_CHECKING:
    from collections.abc import Callable

    Answer = TypeVar("Answer")

_answer_file: Path | None = None
"""In a child: where its answer goes."""
_answering = threading.Lock()
"""Kept by the first thread that answers, until the process ends; another that would answer too waits for that end."""


class Request(msgspec.Struct, frozen=True):
    """A call: the dotted names of a function and of its argument's type, and the argument as JSON."""

    function: str
    type: str
    argument: msgspec.Raw


def ask(
    function: str,
    argument: Any,
    answer: type[Answer],
    *,
    timeout: float,
    waiting: Callable[[float], None] | None = None,
) -> supervise.Outcome[Answer]:
    """Call ``function(argument)`` in a process of its own, and return how that ended and the answer.

    ``function`` is a dotted name such as ``"package.module:function"``; a coroutine function is run on an event loop. The
    argument and the answer travel as JSON, so both are of types that msgspec encodes. ``timeout`` and ``waiting`` are
    those of :func:`gilscope.isolated.supervise.run`.
    """
    kind = type(argument)
    request = Request(function, f"{kind.__module__}:{kind.__qualname__}", msgspec.Raw(msgspec.json.encode(argument)))
    outcome = supervise.run("gilscope.isolated.child", msgspec.json.encode(request), timeout=timeout, waiting=waiting)
    decoded = None if outcome.answer is None else msgspec.json.decode(outcome.answer, type=answer)
    return supervise.Outcome(outcome.status, decoded, outcome.reason, outcome.output)


def serve(request_file: str, answer_file: str) -> None:
    """Answer the request in ``request_file``: what a child does. The child dies with its parent."""
    global _answer_file  # noqa: PLW0603 - a thread of the function that runs may answer early
    supervise.die_with_parent()
    _answer_file = Path(answer_file)
    request = msgspec.json.decode(Path(request_file).read_bytes(), type=Request)
    function = resolve_name(request.function)
    answer = function(msgspec.json.decode(request.argument, type=resolve_name(request.type)))
    if inspect.iscoroutine(answer):
        import asyncio  # the function's module has loaded it; the other children start faster without it

        answer = asyncio.run(answer)
    _write(answer)


def answer_early(answer: Any) -> NoReturn:
    """Answer from a daemon thread of a child, whatever its function still does, and end the process."""
    _write(answer)
    try:
        sys.stdout.flush()
    finally:
        os._exit(0)


def _write(answer: Any) -> None:
    """Write the answer in one step: the parent must not read half of it, and only one thread may write it."""
    assert _answer_file is not None  # noqa: S101 - only a child answers
    _answering.acquire()
    try:
        part = _answer_file.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(answer))
        part.replace(_answer_file)
    except BaseException:
        _answering.release()
        raise
