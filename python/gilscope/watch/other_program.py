"""The program of another process, whose files are judged as those of this process are."""

from __future__ import annotations

import re
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class OtherProgram(NamedTuple):
    """What is known from outside of a program."""

    minor: int
    """The second number of its Python's version."""
    packages: frozenset[str]
    """The installed packages, and archives, that are the program's own."""
    is_command: bool
    """Whether it is the argument of ``python -c``."""

    def in_standard_library(self, file: str) -> str | None:
        """Return where a file is in the standard library of its Python; ``None`` if it is elsewhere."""
        found = re.fullmatch(rf".*/(?:lib|lib64|Lib)/python3\.{self.minor}/(?!site-packages/|dist-packages/)(.+)", file)
        return found[1] if found else None


_judged: ContextVar[OtherProgram | None] = ContextVar("judged", default=None)


@contextmanager
def judging(program: OtherProgram) -> Iterator[None]:
    """Until the end of the block, the files that this thread judges are those of ``program``."""
    token = _judged.set(program)
    try:
        yield
    finally:
        _judged.reset(token)


def judged() -> OtherProgram | None:
    """Return the program of another process whose files are judged; ``None`` if it is this process's own."""
    return _judged.get()
