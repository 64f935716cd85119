"""Which processes run a Python that can be attached to."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from gilscope import _core
from gilscope.attach.refusal import CannotAttach
from gilscope.attach.status import command_of, parent_of, pids

if TYPE_CHECKING:
    from collections.abc import Collection

LOOKS_LIKE_PYTHON = re.compile(r"(?:\S*/)?(?:python|pypy)[\d.]*t?\b")
"""A process whose command line starts like this is listed even if its memory may not be read."""
ABOUT_PYTHON = frozenset({"version", "free-threaded", "no-interpreter", "layout"})
"""The codes of reasons that only a Python has."""
ABOUT_ACCESS = frozenset({"rights", "filter", "32-bit"})
"""The codes of reasons that hide whether the process is a Python."""

__all__ = ["CannotAttach", "PythonProcess", "children_of", "python_processes", "version_of"]


class PythonProcess(NamedTuple):
    """A process that runs Python."""

    pid: int
    parent: int
    version: str | None
    """Such as ``3.13.0``; ``None`` if it cannot be attached to."""
    command: str
    loops: int | None
    """How many event loops it runs; ``None`` if it cannot be attached to."""
    why_not: str | None
    """Why it cannot be attached to; ``None`` if it can."""


def version_of(pid: int, *, subcommand: str = "attach") -> str:
    """Return the version of the Python that runs in a process; raise :class:`CannotAttach` if it cannot be attached to."""
    try:
        return ".".join(map(str, _core.find_process(pid)))
    except LookupError as error:
        raise CannotAttach.because_of(pid, error, subcommand=subcommand) from None


def python_processes() -> list[PythonProcess]:
    """Return all processes that run Python, except this one, by PID."""
    return _described([pid for pid in pids() if pid != os.getpid()])


def children_of(pid: int, *, except_for: Collection[int] = ()) -> list[PythonProcess]:
    """Return the Pythons that a process has started, and those that they have started, by PID."""
    parents = {child: parent_of(child) for child in pids()}
    family = {pid}
    # A child may have a smaller PID than its parent, once all numbers were used.
    while more := {child for child, parent in parents.items() if parent in family and child not in family}:
        family |= more
    return _described(sorted(family - {pid, os.getpid(), *except_for}))


def _described(candidates: list[int]) -> list[PythonProcess]:
    described = (_describe(pid) for pid in candidates)
    return [process for process in described if process]


def _describe(pid: int) -> PythonProcess | None:
    """Return ``None`` if the process is not a Python, or has ended."""
    parent, command = parent_of(pid), command_of(pid)
    if parent is None:
        return None
    try:
        version = version_of(pid)
    except CannotAttach as error:
        is_python = error.code in ABOUT_PYTHON or (
            error.code in ABOUT_ACCESS and LOOKS_LIKE_PYTHON.match(command) is not None
        )
        return PythonProcess(pid, parent, None, command, None, error.reason) if is_python else None
    return PythonProcess(pid, parent, version, command, _core.count_loops(pid), None)
