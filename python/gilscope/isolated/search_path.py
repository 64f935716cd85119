"""How a process of ours finds the user's modules: only after it has imported its own.

A file of the user's named like a module of the standard library (``queue.py``, ``token.py``, ``random.py``) would replace
that module in whatever imports it later. So importing this module imports what our processes, their pools and their
tracebacks need, at once or late, and only then may a path be set that starts with the user's folders. Runs in
subinterpreters too.
"""

from __future__ import annotations

import sys
import types
from contextlib import suppress
from importlib import import_module
from pathlib import Path

OWN_MODULES = (
    "ast",
    "asyncio",
    "concurrent.futures.process",
    "concurrent.futures.thread",
    "ctypes",
    "dataclasses",
    "hashlib",
    "heapq",
    "inspect",
    "linecache",
    "logging",
    "multiprocessing.connection",
    "multiprocessing.popen_spawn_posix",
    "multiprocessing.queues",
    "multiprocessing.resource_tracker",
    "multiprocessing.synchronize",
    "pickle",
    "queue",
    "random",
    "string",
    "subprocess",
    "tempfile",
    "tokenize",
    "traceback",
)
"""What pools, event loops and tracebacks import, some of it only when a worker starts or a call fails."""

for _name in OWN_MODULES:
    with suppress(ImportError):  # a subinterpreter refuses extension modules that do not support it
        import_module(_name)


def _import_lazily_imported() -> None:
    """Import what modules of the standard library import only when they need it, as they may since Python 3.15."""
    lazy = getattr(types, "LazyImportType", None)
    left = [module for module in sys.modules.values() if isinstance(module, types.ModuleType)]
    while lazy is not None and left:
        known = set(sys.modules)
        for module in left:
            if module.__name__.partition(".")[0] in sys.stdlib_module_names:
                for name in [name for name, value in vars(module).items() if isinstance(value, lazy)]:
                    with suppress(ImportError):
                        getattr(module, name)
        left = [sys.modules[name] for name in set(sys.modules) - known]


_import_lazily_imported()


def users_first(folder: str) -> list[str]:
    """Return a path that starts with the working directory, as for ``python -m timeit``, and then has ``folder``.

    Neither a child's ``python -P`` nor the script that pip installs has the working directory in its path.
    """
    wanted = [folder]
    with suppress(FileNotFoundError):  # the working directory may have been removed
        wanted.insert(0, str(Path.cwd()))
    return [*wanted, *(entry for entry in sys.path if entry not in wanted)]


def search(path: list[str]) -> None:
    """Search modules in the folders of ``path`` from now on. Pools of processes inherit the path."""
    sys.path[:] = path


class WorkerName(str):
    """The name of a spawned worker, which the worker unpickles before it searches its parent's path.

    The name is part of what multiprocessing sends first (``spawn.get_preparation_data``), together with the path.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return _named, (str(self),)  # type: ignore[return-value]


def _named(name: str) -> str:
    """Return ``name``: to unpickle this function, the worker has imported this module."""
    return name
