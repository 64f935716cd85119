"""What the native half needs to write about a stall while no Python code can run: where to, and which line to name."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, NamedTuple

from gilscope.naming import escaped
from gilscope.watch import origin, stack

if TYPE_CHECKING:
    from gilscope._core import LogFile


class LineRules(NamedTuple):
    """What `gilscope.watch.origin` and `gilscope.watch.stack` know of this interpreter, as plain text."""

    ours: str
    installed: list[str]
    standard: list[str]
    is_command: bool
    """Whether the program is the argument of ``python -c``."""
    handle: tuple[str, str]
    run_once: tuple[str, str]
    below_callbacks: list[tuple[str, str]]
    asyncio: str
    selectors: str


class LogSettings(NamedTuple):
    """The logs of a watch."""

    json: LogFile | None
    words: LogFile | None
    rules: LineRules
    directory: str
    """In words, files in this directory are named relative to it."""


def line_rules() -> LineRules:
    """Return the rules of this moment."""
    return LineRules(
        ours=escaped(origin.OURS),
        installed=[*map(str, origin.INSTALLED)],
        standard=[*map(str, origin.STANDARD)],
        is_command=origin.is_command(),
        handle=(stack.HANDLE, asyncio.Handle._run.__qualname__),  # noqa: SLF001 - what stacks show for it
        run_once=(stack.LOOP, "BaseEventLoop._run_once"),
        below_callbacks=sorted(stack.BELOW_CALLBACKS),
        asyncio=stack.ASYNCIO,
        selectors=stack.SELECTORS,
    )


def log_settings(json: LogFile | None, words: LogFile | None) -> LogSettings | None:
    """Return the settings of these logs; ``None`` if there is no log."""
    if json is None and words is None:
        return None
    return LogSettings(json, words, line_rules(), _directory())


def _directory() -> str:
    try:
        return escaped(os.getcwd())  # noqa: PTH109 - as the names of files have it
    except OSError:  # it has been removed
        return ""
