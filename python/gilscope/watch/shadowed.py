"""Forgets modules that gilscope has imported and that the program has modules of its own for.

A script beside a ``click.py`` or ``statistics.py`` of its user's imports that file. It would get the modules that gilscope
has imported before, if ``sys.modules`` still had them. gilscope itself keeps those that it uses.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder

OURS = ("gilscope", "__main__")
FIRST_AFTER_THE_START = ("runpy", "gilscope")
"""One of these is the first module that is imported after those that every program finds imported."""


def forget_shadowed(folder: str) -> None:
    """Forget the modules of which ``folder``, the first of ``sys.path``, has others by the same name."""
    for name in _imported_since_the_start():
        if _stands_in_front(folder, name):
            for forgotten in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
                del sys.modules[forgotten]


def _imported_since_the_start() -> list[str]:
    names = list(sys.modules)
    first = min(names.index(name) for name in FIRST_AFTER_THE_START if name in names)
    return [name for name in names[first:] if "." not in name and name not in OURS]


def _stands_in_front(folder: str, name: str) -> bool:
    known = getattr(sys.modules[name], "__spec__", None)
    if known is None or known.origin in {"built-in", "frozen"}:
        return False
    found = PathFinder.find_spec(name, [folder])
    return found is not None and found.loader is not None and found.origin != known.origin
