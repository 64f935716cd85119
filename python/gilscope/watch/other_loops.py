"""Event loops of other libraries, which are not asyncio's. They are not watched, and reports say so.

Nothing is imported: a library that the program has not imported has run no loop. Whether an imported one has run is read
off what it keeps of its loops, such as the numbers that it gives to tasks.
"""

from __future__ import annotations

import itertools
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_questions = itertools.count(1)


def loops_run() -> dict[str, int]:
    """Return a number for each kind of loop that this process has run. It grows from question to question if it has run on."""
    numbers = (_number(module, read) for module, read in _LOOPS.items())
    return {name: number for name, number in numbers if number}


def _number(module: str, read: Callable[[Any], tuple[str, int]]) -> tuple[str, int]:
    if (library := sys.modules.get(module)) is None:
        return module, 0
    with suppress(Exception):  # another version of the library may not have what is read here
        return read(library)
    return module.partition(".")[0], next(_questions)  # most programs that import it run it


def _of_trio(lowlevel: Any) -> tuple[str, int]:
    # The tasks are numbered by an `itertools.count`, which shows its next number only in its repr.
    attribute = next(field for field in lowlevel.Task.__attrs_attrs__ if field.name == "_counter")
    return "trio.run", int(re.sub(r"\D", "", repr(attribute.default.factory.__self__)))


def _of_curio(task: Any) -> tuple[str, int]:
    return "curio.Kernel", int(task.Task._lastid) - 1  # noqa: SLF001 - nothing public remains of a loop that has ended


def _of_gevent(hub: Any) -> tuple[str, int]:
    return "gevent.hub.Hub", next(_questions) if hub.Hub._hub_counter else 0  # noqa: SLF001 - as above


def _of_eventlet(hubs: Any) -> tuple[str, int]:
    return "eventlet.hubs", next(_questions) if hasattr(hubs._threadlocal, "hub") else 0  # noqa: SLF001 - the public one makes it


def _of_twisted(reactor: Any) -> tuple[str, int]:
    kind = type(reactor)
    on_asyncio = kind.__name__ == "AsyncioSelectorReactor"  # its loop is seen like any other
    has_run = not on_asyncio and (reactor._started or reactor._startedBefore)  # noqa: SLF001 - as with curio
    return f"{kind.__module__}.{kind.__qualname__}", next(_questions) if has_run else 0


_LOOPS: dict[str, Callable[[Any], tuple[str, int]]] = {
    "trio.lowlevel": _of_trio,
    "curio.task": _of_curio,
    "gevent.hub": _of_gevent,
    "eventlet.hubs": _of_eventlet,
    "twisted.internet.reactor": _of_twisted,
}
"""For each module: what returns the name of its loop, and the number."""
