"""Check a statement: what runs inside the process that :mod:`gilscope.checks.statement` starts.

A statement that does not end is judged all the same. If it lets a Python thread of this process have the GIL, that thread
answers at the deadline. If not, the parent answers: it reads what a native thread, which never attaches, writes about the
wait in progress.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import linecache
import os
import sys
import threading
import tokenize  # noqa: F401 - linecache imports it late, when a file in the working directory could replace it
import traceback
import warnings
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from gilscope.checks.calls import NothingRanError
from gilscope.checks.run import Checking
from gilscope.checks.statement_hints import what_to_define
from gilscope.isolated.protocol import answer_early
from gilscope.records.verdict import Verdict  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

SETUP, STATEMENT = "<setup>", "<statement>"
WAIT_REPORT_SECONDS = 0.02
"""How often the native thread reports the wait in progress."""
LAST_LOOK_SECONDS = 1.5
"""Before the deadline: how long a statement that does not end is looked at with the program's own switch interval,"""
LAST_LOOK_SHARE = 0.4
"""and at most this share of the time until the deadline."""


class StatementRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be checked, and where the wait in progress is reported."""

    setup: str
    statement: str
    time: float
    deadline: float
    """On the clock of ``time.monotonic``, which all processes of a machine share."""
    wait_file: str
    """The path of a file that stays empty until the setup is done."""
    so_far_file: str
    """The path of a file for the verdict so far, written before the child may lose the GIL for good."""


class StatementAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict, or the user's own traceback, or neither if the deadline passed before the statement had run."""

    verdict: Verdict | None = None
    traceback: str = ""
    internal_error: str = ""
    """The traceback of an error that is gilscope's own."""


def run(request: StatementRequest) -> StatementAnswer:
    """Check the statement. If it is still running at the deadline, answer from another thread and end the process."""
    # Find the user's modules as python -m timeit does, but only now that our own imports are done: a queue.py in the
    # working directory must not replace the standard library's.
    with contextlib.suppress(OSError):  # the working directory may have been removed
        sys.path.insert(0, str(Path.cwd()))
    started = os.getpid()
    namespace: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
    try:
        setup, statement = _compiled(request.setup, SETUP), _call_of(request.statement, namespace)
    except BaseException as error:  # noqa: BLE001 - whatever the compiler raises is for the user
        return StatementAnswer(traceback=_of_the_user(error))
    try:
        exec(setup, namespace)  # noqa: S102 - what the user asked for
        _end_copy(started)
        checking = Checking(statement, request.statement.strip())
        checking.write_wait(os.open(request.wait_file, os.O_WRONLY), WAIT_REPORT_SECONDS)
        done = threading.Event()
        watchdog = threading.Thread(
            target=_watch, args=(checking, request, done), name="gilscope watchdog", daemon=True
        )
        watchdog.start()
        try:
            return StatementAnswer(verdict=checking.run(request.time))
        finally:
            done.set()
            watchdog.join()  # it must not be the last that refers to the user's objects: they belong to this thread
            checking.end()
    except BaseException as error:  # noqa: BLE001 - the user's code may raise SystemExit too
        _end_copy(started)
        if not _is_the_users(error):
            if isinstance(error, NothingRanError):
                said = (
                    f"its value is {error.what}, which nothing runs: write {error.runner}({request.statement.strip()})"
                )
                return StatementAnswer(traceback=said)
            return StatementAnswer(internal_error="".join(traceback.format_exception(error)))
        return StatementAnswer(traceback=_of_the_user(error) + what_to_define(error, SETUP, STATEMENT))


def _watch(checking: Checking, request: StatementRequest, done: threading.Event) -> None:
    """Answer for a statement that is still running at the deadline, with what is known by then."""
    left = request.deadline - monotonic()
    if done.wait(left - min(LAST_LOOK_SECONDS, LAST_LOOK_SHARE * left)):
        return
    if (so_far := checking.look_at_real_waits()) is not None:
        Path(request.so_far_file).write_bytes(msgspec.json.encode(so_far))
    if not done.wait(request.deadline - monotonic()):
        answer_early(StatementAnswer(verdict=checking.verdict_so_far()))


def _is_the_users(error: BaseException) -> bool:
    """Return whether code of the user's raised ``error``, or Ctrl-C did."""
    frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    return isinstance(error, KeyboardInterrupt) or SETUP in frames or STATEMENT in frames


def _end_copy(started: int) -> None:
    """End a copy of this process that the user's code has forked: only the original answers."""
    if os.getpid() != started:
        os._exit(0)


def _compiled(source: str, name: str) -> CodeType:
    """Compile ``source``, and let tracebacks show its lines."""
    linecache.cache[name] = (len(source), None, [f"{line}\n" for line in source.splitlines()], name)
    return compile(source, name, "exec", dont_inherit=True)


def _call_of(source: str, namespace: dict[str, Any]) -> Callable[[], Any]:
    """Return a callable that runs the statement; if it is an expression, it returns its value, which may show that nothing ran."""
    code = _compiled(source, STATEMENT)
    match ast.parse(source).body:
        case [ast.Expr(value)]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the compiler has warned before
                return partial(eval, compile(ast.Expression(value), STATEMENT, "eval", dont_inherit=True), namespace)
    return partial(exec, code, namespace)


def _of_the_user(error: BaseException) -> str:
    """Return the traceback from the user's first line on, without our frames."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename not in (SETUP, STATEMENT):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))
