"""Says whose code a file is: the user's own, the program's package, another installed package, or the standard library."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from contextlib import suppress
from enum import IntEnum
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from gilscope.naming import escaped
from gilscope.watch.other_program import judged

if TYPE_CHECKING:
    from collections.abc import Iterator


class Origin(IntEnum):
    """Whose code it is. The lower, the closer to the user: a culprit is looked for in this order."""

    USER = 0
    PROGRAM = 1
    """The installed package that the program was started from, such as the one of its console script."""
    INSTALLED = 2
    STANDARD = 3
    """The standard library, and code that was generated while the program ran."""
    GILSCOPE = 4


OURS = str(Path(__file__).parents[1])
INSTALLED_FOLDERS = {"site-packages", "dist-packages"}
ARCHIVES = (".pyz", ".zip", ".whl", ".egg", ".pex", ".par")
STANDARD_ARCHIVE = re.compile(r"python\d+\.zip")
USERS_WITHOUT_FILE = re.compile(r"<(stdin|console|input|dynamic-code|doctest .*|(i?python|ipykernel)-input-.*)>")
"""What the file is called of code that was typed in, or that cloudpickle has sent to a worker (of dask, ray, joblib)."""
GENERATED = "__create_fn__."
"""What the functions that ``dataclasses`` generates have at the beginning of their qualified names."""
CONSOLE_SCRIPT_IMPORT = re.compile(r"^\s*from ([\w.]+) import ", re.MULTILINE)
MODULE = re.compile(r"[A-Za-z_]\w*(\.\w+)*")
APPLICATION = re.compile(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_][\w.]*(\(.*\))?")
"""How an application is named on the command line of a server: ``package.module:app``, or ``package.module:make()``."""
OPTIONS_OF_APPLICATIONS = ("-A", "--app")
"""The options with which celery, flask and others take the module of the application."""
MAX_BYTES_OF_A_CONSOLE_SCRIPT = 4096


def _folders(*names: str) -> tuple[PurePosixPath, ...]:
    found = (sysconfig.get_path(name) for name in names)
    return tuple({PurePosixPath(escaped(folder)) for folder in found if folder})


INSTALLED = _folders("purelib", "platlib")
STANDARD_LIBRARY = PurePosixPath(escaped(os.__file__)).parent
STANDARD = (*_folders("stdlib", "platstdlib"), STANDARD_LIBRARY)


def origin_of(file: str, function: str = "") -> Origin:
    """Return whose code ``file`` is; ``function`` distinguishes what has been generated from a program given as a string."""
    if file == "<string>":
        is_users = is_command() and not function.startswith(GENERATED)
        return Origin.USER if is_users else Origin.STANDARD
    origin, package = _place(local(file))
    if origin is Origin.INSTALLED and package in program_packages():
        return Origin.PROGRAM
    return origin


def local(file: str) -> str:
    """Return the name that a file of another process's standard library has in ours; any other name as it is."""
    other = judged()
    place = other and other.in_standard_library(file)
    return f"{STANDARD_LIBRARY}/{place}" if place else file


@lru_cache(4096)
def _place(file: str) -> tuple[Origin, str]:
    """Return whose code ``file`` is, and the name of its installed package: the archive's path for one in an archive."""
    path = PurePosixPath(file)
    if file.startswith("<"):
        return (Origin.USER if USERS_WITHOUT_FILE.fullmatch(file) else Origin.STANDARD), ""
    if path.is_relative_to(escaped(OURS)):
        return Origin.GILSCOPE, ""
    if (package := _installed(path)) is not None:
        return Origin.INSTALLED, package
    if any(path.is_relative_to(folder) for folder in STANDARD) or any(map(STANDARD_ARCHIVE.fullmatch, path.parts)):
        return Origin.STANDARD, ""
    if (
        getattr(sys, "frozen", False) and path.parts and not path.is_absolute()
    ):  # in an executable file, only names are left
        name = PurePosixPath(path.parts[0]).stem
        return (Origin.STANDARD if name in sys.stdlib_module_names else Origin.INSTALLED), name
    return Origin.USER, ""


def _installed(path: PurePosixPath) -> str | None:
    """Return the name of the installed package that ``path`` belongs to, if any. The standard library is in none."""
    folders = path.parts[:-1]
    for index in range(len(folders) - 1, -1, -1):
        if folders[index] in INSTALLED_FOLDERS:
            return PurePosixPath(path.parts[index + 1]).stem
        if folders[index].endswith(ARCHIVES) and not STANDARD_ARCHIVE.fullmatch(folders[index]):
            return str(PurePosixPath(*folders[: index + 1]))
    folder = next(filter(path.parent.is_relative_to, INSTALLED), None)
    return None if folder is None else PurePosixPath(path.relative_to(folder).parts[0]).stem


def program_packages() -> frozenset[str]:
    """Return the installed packages, and archives, that are the program's own."""
    if other := judged():
        return other.packages
    main = sys.modules.get("__main__")
    # What is not imported yet may be so at the next call.
    named = tuple(name for name in applications(_arguments()[1:]) if name.partition(".")[0] in sys.modules)
    return _packages(_text(main, "__file__"), _text(getattr(main, "__spec__", None), "name"), named)


def applications(arguments: list[str]) -> Iterator[str]:
    """Yield the modules of the applications named on a command line. No other word counts: it may be a module's name by chance."""
    option = ""
    for argument in arguments:
        name, _, value = argument.partition("=")
        if option in OPTIONS_OF_APPLICATIONS or APPLICATION.fullmatch(argument):
            yield argument.partition(":")[0]
        elif name in OPTIONS_OF_APPLICATIONS:
            yield value.partition(":")[0]
        option = argument


def is_command() -> bool:
    """Whether the program is the argument of ``python -c``."""
    other = judged()
    return other.is_command if other else _arguments()[:1] == ["-c"]


def _arguments() -> list[str]:
    """Return ``sys.argv``, with "" for what is no text. The program may put anything into it, or delete it."""
    given = getattr(sys, "argv", None)
    if not isinstance(given, list | tuple):
        return []
    return [argument if isinstance(argument, str) else "" for argument in given]


def _text(of: object, name: str) -> str | None:
    """Return an attribute if it is text, or a path. A module of the program's may answer anything, or raise."""
    with suppress(Exception):
        return os.fsdecode(getattr(of, name))
    return None


@lru_cache(8)
def _packages(file: str | None, module: str | None, named: tuple[str, ...]) -> frozenset[str]:
    # The program is the application that a server or a worker was given on its command line: `uvicorn app:app`.
    if any(map(_is_users, named)):
        return frozenset()
    tops = {top for name in named for top in _tops(name)}
    return frozenset(tops or {top for name in _entries(file, module) for top in _tops(name)} | set(_own(file)))


def _entries(file: str | None, module: str | None) -> Iterator[str]:
    """Yield the module that was run, or what a console script imports."""
    if module:
        yield module
    elif file and not file.endswith((".py", *ARCHIVES)):
        with suppress(OSError, ValueError), open(file, "rb") as script:  # noqa: PTH123 - the name need not be UTF-8
            text = script.read(MAX_BYTES_OF_A_CONSOLE_SCRIPT).decode(errors="replace")
            if "sys.exit(" in text:
                yield from CONSOLE_SCRIPT_IMPORT.findall(text)


def _own(file: str | None) -> Iterator[str]:
    """Yield the package or the archive of the script that was run, if it is in one."""
    if file:
        origin, package = _place(escaped(file))
        if origin is Origin.INSTALLED:
            yield package


def _is_users(name: str) -> bool:
    """Whether ``name`` is a module of the user's that has been imported, such as the application of a server."""
    file = _text(sys.modules.get(name.partition(".")[0]), "__file__") if name != "__main__" else None
    return file is not None and _place(escaped(file))[0] is Origin.USER


def _tops(module: str) -> Iterator[str]:
    """Yield the top-level package of ``module``, if it is an installed one that has been imported."""
    top = module.partition(".")[0]
    if not MODULE.fullmatch(module) or top not in sys.modules:
        # `python -m` calls the module that it runs `__main__`, and does not list it under its own name.
        main = sys.modules.get("__main__")
        if getattr(getattr(main, "__spec__", None), "name", None) == module:
            yield top
        return
    file = _text(sys.modules[top], "__file__")
    if file is None:  # a package of several folders
        with suppress(Exception):
            file = os.fsdecode(next(iter(sys.modules[top].__path__)))
    if _place(escaped(file or ""))[0] is Origin.INSTALLED:
        yield top
