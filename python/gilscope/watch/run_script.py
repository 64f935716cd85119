"""Runs a user's program in this process, like ``python SCRIPT`` or ``python -m MODULE`` does.

The program gets a fresh ``__main__`` module, and its own ``sys.argv`` and ``sys.path``. An exception ends the process as it
would without gilscope: same exit status, same traceback (without gilscope's frames), same effect of Ctrl-C. These functions
must be called last, outside of every ``try`` that catches.
"""

from __future__ import annotations

import builtins
import io
import os
import runpy
import sys
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from pathlib import Path
from pkgutil import get_importer
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

OURS = str(Path(__file__).parents[1])
RUNNERS = (OURS, "<frozen runpy>", runpy.__file__)


def run_script(path: str, arguments: list[str]) -> None:
    """Run the file, folder or zip file at ``path``."""
    sys.argv = [path, *arguments]
    main = _fresh_main()
    if Path(path).is_dir() or type(get_importer(path)).__name__ == "zipimporter":
        _lead_path(os.path.abspath(path))  # noqa: PTH100 - like python: removes `..`, and does not follow links
        _guarded(lambda: runpy._run_module_as_main("__main__", alter_argv=False))  # type: ignore[attr-defined]  # noqa: SLF001 - what python itself calls
        return
    _lead_path(str(Path(path).resolve().parent))
    file = os.path.abspath(path)  # noqa: PTH100 - as above
    main.__dict__.update(__file__=file, __cached__=None, __loader__=SourceFileLoader("__main__", file))

    def run() -> None:
        with io.open_code(file) as source:
            code = compile(source.read(), file, "exec", dont_inherit=True)
        exec(code, main.__dict__)  # noqa: S102 - the user's own program

    _guarded(run)


def run_module(name: str, arguments: list[str]) -> None:
    """Run the module ``name``."""
    sys.argv = ["-m", *arguments]
    _fresh_main()
    _lead_path(str(Path.cwd()))
    _guarded(lambda: runpy._run_module_as_main(name))  # type: ignore[attr-defined]  # noqa: SLF001 - what python itself calls


def interrupted_again() -> None:
    """Make the interpreter end by SIGINT again, after code that ran at exit has reset that.

    CPython sets a flag when a ``KeyboardInterrupt`` is not caught, and clears it whenever a string is executed, which the
    import of many libraries does (``run_eval_code_obj`` in Python/pythonrun.c).
    """
    with suppress(KeyboardInterrupt):
        exec("raise KeyboardInterrupt")  # noqa: S102 - a string of ours


def _fresh_main() -> ModuleType:
    main = ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    return main


def _lead_path(folder: str) -> None:
    """Put ``folder`` first in ``sys.path``, in place of the folder of gilscope's own script."""
    if sys.flags.safe_path:
        return
    sys.path[0] = folder


def _guarded(run: Callable[[], object]) -> None:
    """Call ``run``. Print its exception like python does, and then let the exception end the process silently."""
    try:
        run()
    except SystemExit:
        raise
    except BaseException as error:
        sys.excepthook(type(error), error.with_traceback(users := _users_part(error.__traceback__)), users)
        sys.excepthook = lambda *_: None  # it has been printed
        raise


def _users_part(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames of gilscope and of runpy at its beginning."""
    while traceback and traceback.tb_frame.f_code.co_filename.startswith(RUNNERS):
        traceback = traceback.tb_next
    return traceback
