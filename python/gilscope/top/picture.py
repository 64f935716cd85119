"""Everything that the view shows at one moment, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gilscope.attach.live import LongHold, StallNow
    from gilscope.records.loop_time import LoopDoing
    from gilscope.records.stall import Frame, Site
    from gilscope.top.lags import Quantiles


class LoopRow(NamedTuple):
    """An event loop. ``busy`` and ``lags`` have a figure for each of ``sums.WINDOWS``."""

    loop: int
    thread: str
    busy: tuple[float | None, ...]
    """The share of the time in which the loop was not asleep in its selector; ``None`` if the loop was not sampled."""
    lags: tuple[Quantiles, ...]
    longest: tuple[float | None, ...]
    """The longest lag in each second, the oldest first."""


class ThreadRow(NamedTuple):
    """A thread, and its shares of the GIL."""

    native_id: int
    name: str
    shares: tuple[float, ...]
    alive: bool


class SpentRow(NamedTuple):
    """What a loop spent its time on in the last minute."""

    loop: int
    share: float
    """Of the time for which the loop was sampled."""
    doing: LoopDoing
    culprit: Frame | None
    holder: str | None
    held_at: Frame | None


class Picture(NamedTuple):
    """A process, as it was seen up to one moment."""

    pid: int
    python: str
    elapsed: float
    since_reset: float
    threshold: float
    ended: bool
    cost: float
    """CPU time that gilscope itself took, per second."""
    loops: tuple[LoopRow, ...]
    held: tuple[float | None, ...]
    """The share of the time in which the GIL was held; ``None`` if unknown."""
    threads: tuple[ThreadRow, ...]
    longest_hold: LongHold | None
    """Of the last minute; without a line unless the hold was longer than four switch intervals."""
    spent: tuple[SpentRow, ...]
    culprits: tuple[Site, ...]
    """Of the last minute, the one that stalled the loops for longest first."""
    now: tuple[StallNow, ...]
    """The loops that are late, the latest first."""
    stacks: Mapping[int, tuple[Frame, ...]]
    """What threads run at this moment, innermost frame first, by native id; not of all threads."""
    children: tuple[int, ...] = ()
    """Child processes that run event loops; looked for only while the process itself runs none."""
