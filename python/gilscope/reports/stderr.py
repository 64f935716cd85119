"""What gilscope prints on stderr, unless that is closed: ``print(..., file=sys.stderr)`` would then print on stdout."""

from __future__ import annotations

import sys
from contextlib import suppress


def to_stderr(text: str) -> None:
    """Write ``text`` to stderr, if that is possible."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError, AttributeError):  # the program may have closed or replaced it
            sys.stderr.write(text)
            sys.stderr.flush()


def say(sentence: str) -> None:
    """Print a sentence of gilscope's about itself."""
    to_stderr(f"gilscope: {sentence}\n")
