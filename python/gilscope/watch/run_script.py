"""Runs a user's program in this process, as ``python SCRIPT`` or ``python -m MODULE`` would run it.

Its ``__main__`` is a fresh module, its ``sys.argv`` and ``sys.path`` are its own, and what it raises ends the process as it
would without us: exit status, traceback (without our frames), Ctrl-C. It assumes that it is called last, outside of
everything that catches.
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
        _lead_path(os.path.abspath(path))  # noqa: PTH100 - as python does: `..` is taken away, links are not followed
        _guarded(lambda: runpy._run_module_as_main("__main__", alter_argv=False))  # type: ignore[attr-defined]  # noqa: SLF001 - what python itself calls
        return
    _lead_path(str(Path(path).resolve().parent))
    file = os.path.abspath(path)  # noqa: PTH100 - the same
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
    """Have the interpreter end by SIGINT once more, after what was done at exit has made it forget.

    CPython notes that a ``KeyboardInterrupt`` was not caught, and takes the note back whenever a string is executed, as the
    import of many a library does (``run_eval_code_obj`` in Python/pythonrun.c).
    """
    with suppress(KeyboardInterrupt):
        exec("raise KeyboardInterrupt")  # noqa: S102 - a string of ours


def _fresh_main() -> ModuleType:
    main = ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    return main


def _lead_path(folder: str) -> None:
    """Put ``folder`` where the folder of gilscope's own script is, at the head of ``sys.path``."""
    if sys.flags.safe_path:
        return
    sys.path[0] = folder


def _guarded(run: Callable[[], object]) -> None:
    """Call ``run``; print what it raises as python would, and then let it end the process in silence."""
    try:
        run()
    except SystemExit:
        raise
    except BaseException as error:
        sys.excepthook(type(error), error.with_traceback(theirs := _theirs(error.__traceback__)), theirs)
        sys.excepthook = lambda *_: None  # it has been printed
        raise


def _theirs(traceback: TracebackType | None) -> TracebackType | None:
    """Drop the frames of gilscope, and of what runs a module, from the head of a traceback."""
    while traceback and traceback.tb_frame.f_code.co_filename.startswith(RUNNERS):
        traceback = traceback.tb_next
    return traceback
