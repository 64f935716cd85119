"""The stalls of the last minutes, whole, in bounded memory."""

from __future__ import annotations

import threading
import zlib
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gilscope.records.stall import Stall

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS_KEPT = 600.0
MAX_BYTES = 900_000
"""Stalls are kept compressed: some 1 kB each. If they take more than this, the oldest are dropped."""
BYTES_PER_STALL = 150
"""What a stall takes besides its compressed record."""
COMPRESSION = 1
"""The fastest: a stall takes some 100 us."""


class Kept(NamedTuple):
    """A stall as it is kept."""

    end: float
    record: bytes


class RecentStalls:
    """The thread that reports stalls adds to it, and any thread may read it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[Kept] = deque()
        self._bytes = 0
        self._dropped: dict[int, int] = {}

    def add(self, stall: Stall) -> None:
        """Keep ``stall``, and drop what is too old or too much."""
        kept = Kept(stall.end, zlib.compress(msgspec.msgpack.encode(stall), COMPRESSION))
        with self._lock:
            self._kept.append(kept)
            self._bytes += _size(kept)
            while self._kept and self._kept[0].end < stall.end - SECONDS_KEPT:
                self._bytes -= _size(self._kept.popleft())
            while self._bytes > MAX_BYTES and len(self._kept) > 1:
                dropped = self._kept.popleft()
                self._bytes -= _size(dropped)
                self._count_dropped(int(dropped.end))

    def since(self, begin: float) -> tuple[list[Stall], int]:
        """Return the stalls that ended after ``begin``, and about how many more there were."""
        with self._lock:
            kept, dropped = list(self._kept), list(self._dropped.items())
        return list(_stalls(kept, begin)), sum(count for second, count in dropped if second >= int(begin))

    def _count_dropped(self, second: int) -> None:
        self._dropped[second] = self._dropped.get(second, 0) + 1
        for earlier in list(self._dropped):
            if earlier >= second - SECONDS_KEPT:
                break
            del self._dropped[earlier]

    @property
    def size(self) -> int:
        """How many bytes the stalls take."""
        return self._bytes


def _stalls(kept: list[Kept], begin: float) -> Iterator[Stall]:
    for end, record in kept:
        if end > begin:
            yield msgspec.msgpack.decode(zlib.decompress(record), type=Stall)


def _size(kept: Kept) -> int:
    return len(kept.record) + BYTES_PER_STALL
