"""Event loops of other libraries, which are not asyncio's: trio's and curio's. They are not watched, and reports say so.

Nothing is imported: a library that the program has not imported has run no loop. Whether an imported one has run is read
off the numbers that it gives to its tasks.
"""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


def tasks_made() -> dict[str, int]:
    """Return how many tasks each of these loops has made in this process so far."""
    return {name: _tasks(module, count) for name, (module, count) in _LOOPS.items()}


def _tasks(module: str, count: Callable[[ModuleType], int]) -> int:
    if (library := sys.modules.get(module)) is None:
        return 0
    with suppress(Exception):  # another version of the library may not have what is read here
        return count(library)
    return 1  # most programs that import it run it


def _of_trio(lowlevel: ModuleType) -> int:
    # The tasks are numbered by an `itertools.count`, which shows its next number only in its repr.
    attribute = next(field for field in lowlevel.Task.__attrs_attrs__ if field.name == "_counter")
    return int(re.sub(r"\D", "", repr(attribute.default.factory.__self__)))


def _of_curio(task: ModuleType) -> int:
    return int(task.Task._lastid) - 1  # noqa: SLF001 - nothing public remains of a loop that has ended


_LOOPS = {"trio.run": ("trio.lowlevel", _of_trio), "curio.Kernel": ("curio.task", _of_curio)}
"""For each loop: the module, and what counts the tasks that it has made."""
