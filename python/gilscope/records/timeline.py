"""A watch in time: how late the loops were and which threads held the GIL, in bins of equal width.

The native core keeps the last minutes' beats and holds one by one. A report keeps this: it is as long for ten hours as for ten
seconds, and no lag and no hold is lost in it.
"""

from __future__ import annotations

from gilscope.records.base import Amount, Positive, Record


class Track(Record, frozen=True):
    """A thread, and how long it held the GIL in each bin."""

    thread: str
    held: tuple[Amount, ...]


class Timeline(Record, frozen=True, kw_only=True):
    """A watch in time. Moments and durations are seconds; moments since the watch began."""

    begin: Amount
    """0, or for a watch of more than some minutes, from when on everything was kept."""
    width: Positive
    """Of a bin."""
    worst: tuple[Amount | None, ...]
    """How late a loop was at worst in each bin; ``None`` where none ran."""
    held: tuple[Track, ...]
    """The longest holder first; empty where nobody held the GIL, or where that cannot be seen."""
