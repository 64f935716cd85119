"""What ``gilscope watch`` runs: a script, a module, or a command of this environment such as uvicorn."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from contextlib import suppress
from difflib import get_close_matches
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from gilscope.cli import BadInput
from gilscope.watch import run_script as program

if TYPE_CHECKING:
    from collections.abc import Callable

SHEBANG = re.compile(
    rb"#!\s*(\S*?/env\s+(?:-S\s+)?)?(\S*python[0-9.]*)\b|"
    rb"#!/bin/sh\n'''exec' (?:\"?([^\"\n]*?python[0-9.]*)\"?[ \n]|\"\$\(dirname [^\n]*/'?(python[0-9.]*)'? )"
)
"""The first line of a script in Python. Installers write the second form if the path of the interpreter is long, and the third
if the environment may be moved: there the interpreter is beside the script."""


def chosen(module: str | None, command_line: tuple[str, ...]) -> Callable[[], None]:
    """Return a function that runs the program. Raises :class:`BadInput` if there is no such program, or if it cannot be read."""
    try:
        return _chosen(module, command_line)
    except OSError as error:
        name = f"run -m {module}" if module else f"open {error.filename or command_line[0]}"
        raise BadInput(f"cannot {name}: {error.strerror}") from None


def child_command(module: str | None, command_line: tuple[str, ...]) -> list[str]:
    """Return the command that runs the program as a process of its own. Raises :class:`BadInput` like :func:`chosen`."""
    chosen(module, command_line)
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined] # noqa: SLF001 - multiprocessing uses it too
    what = ["-m", module] if module else [_file(command_line[0])]
    return [sys.executable, *flags, *what, *command_line[0 if module else 1 :]]


def _chosen(module: str | None, command_line: tuple[str, ...]) -> Callable[[], None]:
    if module:
        _must_exist(module)
        return partial(program.run_module, module, list(command_line))
    if not command_line:
        raise BadInput("nothing to run: give a SCRIPT, or -m MODULE")
    return partial(program.run_script, _file(command_line[0]), list(command_line[1:]))


def _file(script: str) -> str:
    """Return the file to run, which can be read if it is a script."""
    is_here = _exists(script) and not (_is_only_a_folder(Path(script)) and _found(script))
    file = script if is_here or script == program.STDIN else _command(script)
    if is_here and Path(script).is_file():  # what comes from a pipe can be opened only once
        Path(script).open("rb").close()
    return file


def _must_exist(module: str) -> None:
    """Raise :class:`BadInput` if the module's top-level package does not exist. Imports nothing."""
    package = module.partition(".")[0]
    before = sys.path[0]
    if not sys.flags.safe_path:
        sys.path[0] = str(_working_directory())
    try:
        found = find_spec(package) is not None
    except (ImportError, ValueError):
        found = package in sys.modules
    finally:
        sys.path[0] = before
    if not found:
        raise BadInput(
            f"cannot run -m {module}: there is no module named {package}{_did_you_mean(package, _commands())}"
        )


def _command(name: str) -> str:
    """Return the file of a command, which the shell would find by its name, if it is a script for this Python."""
    if "/" in name or name.endswith(".py"):
        files = [file.name for file in Path(name).parent.glob("*.py")] if Path(name).parent.is_dir() else []
        raise BadInput(f"cannot open {name}: it does not exist{_did_you_mean(Path(name).name, files)}")
    beside = Path(sys.executable).parent
    file = _found(name)
    if file is None and re.fullmatch(r"[\w.]+:[\w.]+", name):
        raise BadInput(
            f"{name} names an application, not a program: name its server too, as in: gilscope watch uvicorn {name}"
        )
    if file is None:
        raise BadInput(
            f"cannot run {name}: there is no such file here, and no such command in {beside} or on PATH"
            f"{_did_you_mean(name, _commands())}"
        )
    with Path(file).open("rb") as script:
        python = SHEBANG.match(script.read(1000))
    if python is None:
        raise BadInput(
            f"cannot watch {file}: it is not a Python script. Give a script, -m MODULE, or a command written in Python"
        )
    interpreter = Path(file).parent / (python[2] or python[3] or python[4]).decode(errors="replace")
    # In a virtual environment, the link leads to the Python that it was made from, which has other packages.
    own = Path(sys.executable).resolve().parent if sys.prefix == sys.base_prefix else beside
    ours = {beside.resolve(), own}
    if Path(file).parent != beside and not python[1] and interpreter.parent.resolve() not in ours:
        raise BadInput(
            f"cannot watch {file}: it belongs to another Python, {interpreter}. Install {name} beside gilscope"
        )
    return file


def _is_only_a_folder(path: Path) -> bool:
    """Whether the path is a folder that python cannot run: often the project's, named like the command that runs it."""
    return path.is_dir() and not any(_exists(f"{path / main}") for main in ("__main__.py", "__main__.pyc"))


def _exists(file: str) -> bool:
    """Whether there is such a file. Raises ``OSError`` if that cannot be known, and so the file cannot be opened."""
    try:
        Path(file).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        if "/" in file:
            raise
        return False  # in a working directory that must not be searched, the name is still that of a command
    return True


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise BadInput("the working directory does not exist any more: change to one that does") from None


def _found(name: str) -> str | None:
    return None if "/" in name else shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)


def _commands() -> list[str]:
    names = []
    for folder in (Path(sys.executable).parent, Path()):
        with suppress(OSError):  # they are for a suggestion only
            names += [file.name for file in folder.glob("*") if file.is_file()]
    return names


def _did_you_mean(name: str, names: list[str]) -> str:
    close = [close for close in get_close_matches(name, names, n=1, cutoff=0.7) if close != name]
    return f". Did you mean {close[0]}?" if close else ""
