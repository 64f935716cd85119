"""A watch over time: how late the loops were and which threads held the GIL, in bins of equal width.

The native core keeps the latest beats and holds one by one. A report keeps this record: it has the same size for ten hours as
for ten seconds, and no lag or hold is missing in it.
"""

from __future__ import annotations

from gilscope.records.base import Amount, Positive, Record


class Track(Record, frozen=True):
    """A thread, and how long it held the GIL in each bin."""

    thread: str
    held: tuple[Amount, ...]


class Timeline(Record, frozen=True, kw_only=True):
    """A watch over time. Durations are seconds, and moments are seconds since the watch began."""

    begin: Amount
    """0, or for a watch of more than some minutes, the time of the oldest beat or hold that was kept."""
    width: Positive
    """The width of a bin."""
    worst: tuple[Amount | None, ...]
    """The longest lag in each bin; ``None`` if no loop ran."""
    held: tuple[Track, ...]
    """The longest holder first; empty if no thread held the GIL, or if its holder cannot be read."""
