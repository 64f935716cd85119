"""A folder whose files have the names of the standard library's modules, such as ``queue.py``, and raise when imported."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def shadow_the_standard_library(folder: Path, *, but: tuple[str, ...] = ()) -> None:
    """Write a file for every module of the standard library, except for those in ``but`` and the private ones."""
    for name in sys.stdlib_module_names.difference(sys.builtin_module_names, but):
        if not name.startswith("_"):
            (folder / f"{name}.py").write_text(f"raise ImportError('the {name}.py of the user was imported')\n")


def file_of(module: str) -> str | None:
    """Return the path of the file that is imported as ``module``; for workers, so this module imports almost nothing."""
    return import_module(module).__file__
