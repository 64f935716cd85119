"""Whether a stack of a running thread is possible: by the call graph in the comments of ``work.py``."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from types import CodeType

WORK = str(Path(__file__).with_name("work.py"))
OUTERMOST = {"<module>", "Thread._bootstrap"}

COMPREHENSION = ".<locals>.<listcomp>"
"""A comprehension has a frame of its own on 3.11; its line is one of its function."""

Place = tuple[str, str, int | None]
"""File, function and line of a frame."""


def impossible(stack: list[Place]) -> str | None:
    """Return what cannot be in a stack, innermost frame first; ``None`` if the stack is possible."""
    if stack[-1][1] not in OUTERMOST:
        return f"the outermost frame is {stack[-1]}"
    if (wrong := _wrong_line(stack[0], None)) is not None:
        return wrong
    for inner, outer in pairwise(stack):
        if (wrong := _wrong_line(outer, inner)) is not None:
            return wrong
    return None


def _wrong_line(place: Place, inner: Place | None) -> str | None:
    file, function, line = place
    if file.startswith("/compiled/"):
        return None if _called_by_compiled(file, function, inner) else f"{place} calls {inner}"
    if file != WORK or function == "<module>":
        return None
    function = function.removesuffix(COMPREHENSION)
    if line is None or line == FIRST_LINES.get(function):
        # No line while an exception leaves the function; the first line before its first statement.
        return None if inner is None else f"{place} calls {inner}"
    if FUNCTIONS.get(line) != function:
        return f"{place} is not a line of its function"
    called = CALLED[line]
    allowed = "." in called if inner is None else _may_call(called, inner)
    return None if allowed else f"{place} calls {inner}"


def _called_by_compiled(file: str, function: str, inner: Place | None) -> bool:
    """Return whether code that ``execs`` has compiled may look like this: a module, or the function that has its name."""
    return function in {"<module>", Path(file).stem} and (inner is None or inner[1] == "leaf1")


def _may_call(called: set[str], inner: Place) -> bool:
    file, function, _ = inner
    if function in called or function == "D.__del__":
        return True
    if file.startswith("/compiled/"):
        return "DYN" in called
    return file != WORK and "LIBRARY" in called


def _calls() -> dict[int, set[str]]:
    lines = enumerate(Path(WORK).read_text(encoding="utf-8").splitlines(), 1)
    return {number: set(found[1].split()) for number, line in lines if (found := re.search(r"# -> (.*)", line))}


def _code_objects() -> list[CodeType]:
    found, left = [], [compile(Path(WORK).read_text(encoding="utf-8"), WORK, "exec")]
    while left:
        inner = [constant for constant in left.pop().co_consts if isinstance(constant, CodeType)]
        found += inner
        left += inner
    return found


CALLED = _calls()
CODE_OBJECTS = [code for code in _code_objects() if not code.co_qualname.endswith(COMPREHENSION)]
FIRST_LINES = {code.co_qualname: code.co_firstlineno for code in CODE_OBJECTS}
FUNCTIONS = {line: code.co_qualname for code in CODE_OBJECTS for _, _, line in code.co_lines() if line in CALLED}
