"""Bars and charts out of characters: blocks, or ASCII where the terminal's encoding has no blocks."""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

SHORTEST_SHOWN = 0.001
"""A lag of this many seconds or less has the lowest mark."""
DECADES = 3
"""The highest mark is for lags of a second or more. In a chart of three rows, each row is a power of ten."""


class Glyphs(NamedTuple):
    """The characters that a terminal can show."""

    levels: str
    """From a blank to a full character, from the bottom."""
    parts: str
    """From a blank to a full character, from the left."""
    empty: str
    """What is left of a bar."""
    arrows: str

    def bar(self, share: float, width: int) -> str:
        """Return a bar of ``width`` characters, as full as ``share``."""
        steps = len(self.parts) - 1
        filled = round(min(1.0, max(0.0, share)) * width * steps)
        if share > 0 and filled == 0:
            filled = 1
        full, part = divmod(filled, steps)
        bar = self.parts[-1] * full + (self.parts[part] if part else "")
        return bar + self.empty * (width - len(bar))

    def chart(self, lengths: Sequence[float | None], rows: int) -> list[str]:
        """Return a chart of lags over time in so many rows, on a logarithmic scale. The top row comes first."""
        steps = len(self.levels) - 1
        heights = [_height(seconds, rows * steps) for seconds in lengths]
        return [
            "".join(self.levels[max(0, min(steps, height - row * steps))] for height in heights)
            for row in reversed(range(rows))
        ]


BLOCKS = Glyphs(" ▁▂▃▄▅▆▇█", " ▏▎▍▌▋▊▉█", "·", "↑↓")
ASCII = Glyphs(" .:-=+*#", " #", ".", "arrows")


def glyphs(encoding: str) -> Glyphs:
    """Return what a terminal with this encoding can show."""
    try:
        "".join(BLOCKS).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS


def _height(seconds: float | None, most: int) -> int:
    if seconds is None:
        return 0
    share = log10(max(seconds, SHORTEST_SHOWN) / SHORTEST_SHOWN) / DECADES
    return max(1, min(most, round(share * most)))
