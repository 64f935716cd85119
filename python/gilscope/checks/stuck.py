"""End the process if a check in it will never end: a call that holds the GIL and waits for ever leaves no other way."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope._core import Knocker

AFTER_SECONDS = 10.0
"""A call that has held the GIL for this long, and hardly computed, is taken for a deadlock."""

_message: tuple[int, str] | None = None
"""The file that the last words go to, and the words."""


@contextmanager
def ending_the_process(file: int, what: str) -> Iterator[None]:
    """Within the context, end the process if a check is stuck, with a sentence on ``what`` it was written to ``file``."""
    global _message  # noqa: PLW0603 - the checks inside are made by code that knows nothing of it
    before = _message
    said = (
        f"{what}: a call has held the GIL for {AFTER_SECONDS:g} s, and neither computed nor ended: probably a deadlock."
    )
    _message = file, f"\n{said} Nothing can run in this process any more, so it is ended.\n"
    try:
        yield
    finally:
        _message = before


def watch_over(knocker: Knocker) -> None:
    """Have the process ended if ``knocker`` waits for ever, where :func:`ending_the_process` asks for that."""
    if _message is not None:
        file, message = _message
        knocker.end_process_if_stuck(file, AFTER_SECONDS, message)
