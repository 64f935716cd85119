"""A statement, checked in a process of its own: what runs inside the process that :mod:`gilscope.isolated.supervise` watches.

A statement that does not end is judged all the same: by a Python thread here, if it lets that have the GIL, and if not by
the parent, which reads what a native thread, which never attaches, writes of the wait.
"""

from __future__ import annotations

import contextlib
import linecache
import os
import sys
import threading
import tokenize  # noqa: F401 - linecache asks for it late, and the working directory may have one
import traceback
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from gilscope.checks.run import Checking
from gilscope.records.verdict import Verdict  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from types import CodeType

SETUP, STATEMENT = "<setup>", "<statement>"
TELL = 0.02
"""Seconds between two words on the wait in progress."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be checked, and where the wait in progress is told."""

    setup: str
    statement: str
    time: float
    deadline: float
    """On the clock of ``time.monotonic``, which all processes of a machine share."""
    waiting: str
    """A file; empty until the setup is done."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict, or the user's own traceback."""

    verdict: Verdict | None = None
    traceback: str = ""


def answer(request: Request, answered: Path) -> Answer:
    """Check the statement. One that is still running at the time limit is answered for in a file, and ended."""
    started = os.getpid()
    namespace: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
    try:
        setup, statement = _compiled(request.setup, SETUP), _compiled(request.statement, STATEMENT)
        exec(setup, namespace)  # noqa: S102 - what the user asked for
        _end_copy(started)
        checking = Checking(partial(exec, statement, namespace), request.statement.strip())
        checking.knocker.tell(os.open(request.waiting, os.O_WRONLY), TELL)
        left = max(0.0, request.deadline - monotonic())
        watchdog = threading.Timer(left, partial(_give_up, checking, answered))
        watchdog.daemon = True
        watchdog.start()
        try:
            return Answer(verdict=checking.run(request.time))
        finally:
            watchdog.cancel()
            checking.knocker.stop()
    except BaseException as error:  # noqa: BLE001 - SystemExit too is the user's
        _end_copy(started)
        return Answer(traceback=_of_the_user(error))


def _give_up(checking: Checking, answered: Path) -> None:
    """End a statement that has had its time, with what is known of it."""
    _write(Answer(verdict=checking.verdict_so_far()), answered)
    sys.stdout.flush()
    os._exit(0)


def _end_copy(started: int) -> None:
    """End a copy that the user's code has forked: there is one answer to give, and the copy is not who gives it."""
    if os.getpid() != started:
        os._exit(0)


def _compiled(source: str, name: str) -> CodeType:
    """Compile ``source``, and have tracebacks show its lines."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    return compile(source, name, "exec")


def _of_the_user(error: BaseException) -> str:
    """Return the traceback without our frames: from the user's first line on."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename not in (SETUP, STATEMENT):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))


def _write(this: Answer, answered: Path) -> None:
    """Write it in one step: the parent must not read half of it."""
    part = answered.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(this))
    part.replace(answered)


def main(asked: str, answered: str) -> None:
    from gilscope.isolated.supervise import die_with_parent

    die_with_parent()
    request = msgspec.json.decode(Path(asked).read_bytes(), type=Request)
    # The user's modules are found as python -m timeit finds them. Not before what is imported here has been found: with a
    # queue.py of theirs at the head of the path, the standard library's would not be.
    with contextlib.suppress(OSError):  # the directory may be gone
        sys.path.insert(0, str(Path.cwd()))
    _write(answer(request, Path(answered)), Path(answered))


if __name__ == "__main__":
    main(*sys.argv[1:])
