"""What the command line of another process says of its program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.attach.status import PROC
from gilscope.watch.origin import CONSOLE_SCRIPT_IMPORT, MAX_BYTES_OF_A_CONSOLE_SCRIPT, applications
from gilscope.watch.other_program import OtherProgram

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

OPTIONS_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")
"""The options of ``python`` that are followed by a word of their own."""


def program_of(pid: int, minor: int) -> OtherProgram:
    """Return what is known of the program that runs in a process."""
    arguments = arguments_of(pid)
    option, rest = _after_options(arguments[1:])
    named = [name.partition(".")[0] for name in applications(list(rest[1:]))]
    entries = named or [name.partition(".")[0] for name in _entries(option, rest, PROC / str(pid))]
    return OtherProgram(minor=minor, packages=frozenset(entries), is_command=option == "-c")


def arguments_of(pid: int) -> tuple[str, ...]:
    """Return the words of a process's command line; none if it has none."""
    try:
        line = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(word.decode(errors="backslashreplace") for word in line.rstrip(b"\0").split(b"\0"))


def _after_options(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return ``-c``, ``-m`` or nothing, and the command, the module or the script with what follows."""
    index = 0
    while index < len(words) and words[index].startswith("-") and words[index] != "-":
        word = words[index]
        if word in ("-c", "-m"):
            return word, words[index + 1 :]
        index += 2 if word in OPTIONS_WITH_VALUE else 1
    return "", words[index:]


def _entries(option: str, rest: Sequence[str], process: Path) -> Iterator[str]:
    """Yield the module that was run, or what a console script imports."""
    if option == "-m":
        yield from rest[:1]
    elif not option and rest and not rest[0].endswith(".py"):
        script = process / "root" / rest[0].lstrip("/") if rest[0].startswith("/") else process / "cwd" / rest[0]
        try:
            with script.open("rb") as file:
                text = file.read(MAX_BYTES_OF_A_CONSOLE_SCRIPT).decode(errors="replace")
        except OSError:
            return
        if "sys.exit(" in text:
            yield from CONSOLE_SCRIPT_IMPORT.findall(text)
