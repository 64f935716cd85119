"""How a sentence names a callable, a statement or a line of code."""

from __future__ import annotations

from functools import partial
from keyword import iskeyword
from pathlib import Path
from typing import Any, Protocol

MAX_STATEMENT_CHARACTERS = 60


class Place(Protocol):
    """A line of code, as :class:`gilscope.records.stall.Frame` has it."""

    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def function(self) -> str: ...


def name_of(fn: Any) -> str:
    """Return the name of ``fn`` as its user would write it: ``json.dumps``, ``Parser.feed``."""
    if isinstance(fn, partial):
        return name_of(fn.func)
    name = getattr(fn, "__qualname__", None) or getattr(fn, "__name__", None)
    if not isinstance(name, str):
        return name_of(type(fn))
    name = name.rpartition("<locals>.")[2]
    owner = getattr(fn, "__self__", None)
    if owner is not None and not isinstance(owner, type) and "." not in name and not hasattr(owner, "__spec__"):
        return f"{type(owner).__name__}.{name}"  # a built-in method of an object
    module = getattr(fn, "__module__", None)
    return name if module in (None, "builtins", "__main__", "ctypes") or name == "<lambda>" else f"{module}.{name}"


def quoted(name: str) -> str:
    """Return a name for use in a sentence: a callable's name as it is, a statement shortened and in backticks."""
    if name == "<lambda>" or all(part.isidentifier() and not iskeyword(part) for part in name.split(".")):
        return name
    return f"`{shortened(name)}`"


def shortened(statement: str, longest: int = MAX_STATEMENT_CHARACTERS) -> str:
    """Return a statement on one line: the first of several lines, and the beginning and end of a long line."""
    first, *others = statement.splitlines() or [""]
    if others:
        first = f"{first.rstrip()} ..."
    if len(first) <= longest:
        return first
    end = max(0, longest - 3) // 3
    return f"{first[: longest - 3 - end]}...{first[len(first) - end :]}"


def place_of(frame: Place) -> str:
    """Return where ``frame`` is, as ``file:line in function``, with the file relative to the working directory."""
    try:
        file = str(Path(frame.file).relative_to(escaped(str(Path.cwd()))))
    except (ValueError, OSError):
        file = frame.file
    return f"{file}:{frame.line} in {frame.function}"


def escaped(name: str) -> str:
    r"""Return ``name`` with what cannot be written as UTF-8 escaped: bytes of file names, as in ``caf\udce9``."""
    return name.encode("utf-8", "backslashreplace").decode()
