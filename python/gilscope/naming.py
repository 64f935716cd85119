"""What a callable or a statement is called in a sentence."""

from __future__ import annotations

from functools import partial
from keyword import iskeyword
from typing import Any

LONGEST = 60
"""Characters of a statement that a sentence can bear."""


def name_of(fn: Any) -> str:
    """Return how a reader would write ``fn``: ``json.dumps``, ``Parser.feed``."""
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
    """Return a name as it stands in a sentence: that of a callable as it is, a statement in backticks, on one line."""
    if name == "<lambda>" or all(part.isidentifier() and not iskeyword(part) for part in name.split(".")):
        return name
    return f"`{shortened(name)}`"


def shortened(statement: str, longest: int = LONGEST) -> str:
    """Return a statement in one line: of several the first, and of a long one what it begins and ends with."""
    first, *others = statement.splitlines() or [""]
    if others:
        first = f"{first.rstrip()} ..."
    if len(first) <= longest:
        return first
    end = max(0, longest - 3) // 3
    return f"{first[: longest - 3 - end]}...{first[len(first) - end :]}"
