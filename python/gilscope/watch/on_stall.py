"""Calls the function that a user has given for each stall."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.stall import Stall

log = logging.getLogger("gilscope")

NOT_ASYNCHRONOUS = (
    "it is called in a thread of the watch. To run a coroutine on a loop, let it call "
    "asyncio.run_coroutine_threadsafe(coroutine, loop)."
)


def pass_on(stall: Stall, on_stall: Callable[[Stall], object] | None) -> None:
    """Call ``on_stall``. Exceptions that it raises are logged."""
    if on_stall is None:
        return
    try:
        _refuse_coroutine(on_stall(stall))
    except BaseException:  # SystemExit ends a thread, but not the program
        log.exception("on_stall failed for %s at %s", stall.cause, stall.culprit)


def _refuse_coroutine(returned: object) -> None:
    """Raise ``TypeError`` if ``on_stall`` has returned a coroutine, which nothing would run."""
    if isinstance(returned, Coroutine):
        returned.close()
        raise TypeError(f"on_stall returned a coroutine: {NOT_ASYNCHRONOUS}")
