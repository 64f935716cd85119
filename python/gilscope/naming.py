"""What a callable is called in a sentence."""

from __future__ import annotations

from functools import partial
from typing import Any


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
