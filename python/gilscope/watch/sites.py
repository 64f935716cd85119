"""Adds stalls up by cause and culprit, in constant memory. The longest stalls are kept whole."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gilscope.records.stall import Cause, Frame, Part, Site, Stall

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_SITES = 500
"""If there are more, the smaller half is merged into one site for each cause."""
MAX_PARTS = 5
"""How many parts of a site are kept, the longest ones."""
MAX_WORST = 50
"""How many stalls are kept whole, the longest ones."""


class Sites:
    """Where the stalls came from so far. The thread that reports stalls adds to it, and any thread may read it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sites: dict[tuple[Cause, Frame | None], Site] = {}
        self._worst: list[Stall] = []
        self._stalled: dict[Cause, float] = {}
        self._stalls: dict[Cause, int] = {}

    def add(self, stall: Stall) -> None:
        with self._lock:
            key = (stall.cause, stall.culprit)
            self._sites[key] = _merged([*filter(None, [self._sites.get(key)]), _site(stall)])
            if len(self._sites) > MAX_SITES:
                self._merge_smallest()
            self._worst = sorted([*self._worst, stall], key=lambda it: -it.duration)[:MAX_WORST]
            self._stalled[stall.cause] = self._stalled.get(stall.cause, 0.0) + stall.duration
            self._stalls[stall.cause] = self._stalls.get(stall.cause, 0) + 1

    def ranked(self) -> tuple[Site, ...]:
        """Return the sites, the one that stalled the loops for longest first."""
        with self._lock:
            return tuple(sorted(self._sites.values(), key=lambda site: -site.stalled))

    def worst(self) -> tuple[Stall, ...]:
        """Return the longest stalls, the longest first."""
        with self._lock:
            return tuple(self._worst)

    def stalled(self) -> dict[Cause, float]:
        """Return for how many seconds the loops were stalled, by cause."""
        with self._lock:
            return dict(self._stalled)

    def stalls(self) -> dict[Cause, int]:
        """Return the number of stalls, by cause."""
        with self._lock:
            return dict(self._stalls)

    def _merge_smallest(self) -> None:
        """Merge the smaller half of the sites into one site for each cause, without a line."""
        ranked = sorted(self._sites.values(), key=lambda site: -site.stalled)
        kept = {(site.cause, site.culprit): site for site in ranked[: MAX_SITES // 2]}
        for site in ranked[MAX_SITES // 2 :]:
            key = (site.cause, None)
            kept[key] = _merged([*filter(None, [kept.get(key)]), site])
        self._sites = kept


def _site(stall: Stall) -> Site:
    return Site(
        cause=stall.cause,
        culprit=stall.culprit,
        thread=str(stall.culprit_thread) if stall.culprit_thread else None,
        callback=stall.callback,
        stalls=1,
        stalled=stall.duration,
        longest=stall.duration,
        parts=_added_up(stall.parts),
    )


def _merged(sites: Iterable[Site]) -> Site:
    """Return one site with the sums of ``sites``, and with the thread and the callback of the last."""
    first, *_ = all_sites = list(sites)
    last = all_sites[-1]
    return Site(
        cause=first.cause,
        culprit=first.culprit if first.culprit == last.culprit else None,
        thread=last.thread,
        callback=last.callback,
        stalls=sum(site.stalls for site in all_sites),
        stalled=sum(site.stalled for site in all_sites),
        longest=max(site.longest for site in all_sites),
        parts=_added_up(part for site in all_sites for part in site.parts),
    )


def _added_up(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Return the parts with one cause at one line as one, and of these the longest; the thread is that of the last."""
    sums: dict[tuple[Cause, Frame | None], Part] = {}
    for part in parts:
        key = (part.cause, part.culprit)
        sums[key] = replace(part, seconds=part.seconds + (sums[key].seconds if key in sums else 0.0))
    return tuple(sorted(sums.values(), key=lambda part: -part.seconds)[:MAX_PARTS])
