"""Runs a user's program in this process, like ``python SCRIPT`` or ``python -m MODULE`` does.

The program gets a fresh ``__main__`` module, and its own ``sys.argv`` and ``sys.path``. There is no frame of gilscope's beneath
its own: these functions raise an exception, and the program begins when that has left all frames (see
``src/watch/program.rs``). So they must be called last, outside of every ``try`` that catches or cleans up. An exception ends
the process as it would without gilscope: same exit status, same traceback, same effect of Ctrl-C.
"""

from __future__ import annotations

import builtins
import io
import os
import runpy
import sys
from contextlib import suppress
from functools import partial
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from pkgutil import get_importer, read_code
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from gilscope._core import RunProgram
from gilscope.watch.shadowed import forget_shadowed

if TYPE_CHECKING:
    from collections.abc import Callable

    Prepared = tuple[CodeType | int, dict[str, object]] | tuple[Callable[..., object], tuple[object, ...]]
    """See ``RunProgram``."""

STDIN = "-"

LAST_EXCEPTION = ("last_type", "last_value", "last_traceback", "last_exc")
"""What the interpreter adds to ``sys`` before it calls ``sys.excepthook``."""


class HandOver(BaseException):
    """Leaves all frames of gilscope, and then the program begins."""


def run_script(path: str, arguments: list[str]) -> NoReturn:
    """Run the file, folder or zip file at ``path``; ``-`` is standard input."""
    _hand_over(partial(_script, path, arguments))


def run_module(name: str, arguments: list[str]) -> NoReturn:
    """Run the module ``name``."""
    _hand_over(partial(_module, name, arguments))


def interrupted_again() -> None:
    """If the program was ended by Ctrl-C, make the interpreter end by SIGINT, also after code that ran at exit.

    CPython sets a flag when a ``KeyboardInterrupt`` is not caught, and clears it whenever a string is executed, which the
    import of many libraries does (``run_eval_code_obj`` in Python/pythonrun.c).
    """
    if uncaught() is KeyboardInterrupt:
        with suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")  # noqa: S102 - a string of ours


def uncaught() -> type[BaseException] | None:
    """Return the class of the exception that has ended the program; ``None`` if none has, or if its exit status is 0."""
    return _uncaught[-1] if _uncaught else None


_uncaught: list[type[BaseException]] = []
_kept: list[object] = []
"""What the interpreter uses although it has no reference to it: our ``__main__``, and the hook that it calls."""


def _hand_over(prepare: Callable[[], Prepared]) -> NoReturn:
    usual = sys.excepthook

    def prepare_without_a_trace() -> Prepared:
        sys.excepthook = usual
        for name in LAST_EXCEPTION:
            sys.__dict__.pop(name, None)
        return prepare()

    sys.excepthook = RunProgram(prepare=prepare_without_a_trace, failed=_uncaught.append, interrupted=interrupted_again)
    _kept.append(sys.excepthook)
    raise HandOver


def _script(path: str, arguments: list[str]) -> Prepared:
    sys.argv = [path, *arguments]
    main = _fresh_main()
    if path == STDIN:
        _lead_path("")
        main.update(__file__="<stdin>", __loader__=BuiltinImporter)
        return os.dup(0), main
    if Path(path).is_dir() or type(get_importer(path)).__name__ == "zipimporter":
        _lead_path(os.path.abspath(path))  # noqa: PTH100 - like python: removes `..`, and does not follow links
        return runpy._run_module_as_main, ("__main__", False)  # type: ignore[attr-defined]  # noqa: SLF001 - what python itself calls
    _lead_path(str(Path(path).resolve().parent))
    file = os.path.abspath(path)  # noqa: PTH100 - as above
    if not _is_compiled(file):
        main.update(__file__=file, __loader__=SourceFileLoader("__main__", file))
        return os.open(file, os.O_RDONLY | os.O_CLOEXEC), main
    main.update(__file__=file, __loader__=SourcelessFileLoader("__main__", file))
    with io.open_code(file) as compiled:
        if (code := read_code(compiled)) is None:
            raise RuntimeError("Bad magic number in .pyc file")
        return code, main


def _is_compiled(file: str) -> bool:
    if file.endswith(".pyc") or not Path(file).is_file():  # what is read from a pipe is gone
        return file.endswith(".pyc")
    with io.open_code(file) as start:
        return start.read(2) == MAGIC_NUMBER[:2]


def _module(name: str, arguments: list[str]) -> Prepared:
    sys.argv = ["-m", *arguments]
    _fresh_main()
    if not sys.flags.safe_path:
        _lead_path(str(Path.cwd()))
    return runpy._run_module_as_main, (name,)  # type: ignore[attr-defined]  # noqa: SLF001 - what python itself calls


def _fresh_main() -> dict[str, Any]:
    """Return the namespace of a new ``__main__`` module, with the names that this Python gives it, in their order."""
    ours = sys.modules["__main__"]
    _kept.append(ours)  # at the end, names are removed from its namespace
    main = ModuleType("__main__")
    given = {"__name__": "__main__", "__builtins__": builtins, "__annotations__": {}}
    names = [name for name in ours.__dict__ if name in STANDARD_NAMES]
    main.__dict__.clear()
    main.__dict__.update({name: given.get(name) for name in names})
    sys.modules["__main__"] = main
    return main.__dict__


STANDARD_NAMES = (
    "__name__",
    "__doc__",
    "__package__",
    "__loader__",
    "__spec__",
    "__annotations__",
    "__builtins__",
    "__file__",
    "__cached__",
)


def _lead_path(folder: str) -> None:
    """Put ``folder`` first in ``sys.path``, in place of the folder of gilscope's own script."""
    if sys.flags.safe_path:
        return
    sys.path[0] = folder
    forget_shadowed(folder)
