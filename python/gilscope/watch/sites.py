"""Stalls, gathered by cause and culprit in constant memory; the worst are kept whole."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from gilscope.records.stall import Cause, Frame, Site, Stall

if TYPE_CHECKING:
    from collections.abc import Iterable

SITES = 500
"""Sites kept apart; beyond this the smallest become one of their cause."""
WORST = 50
"""Stalls kept whole."""


class Sites:
    """Where the stalls came from, so far. The teller's thread adds, and any thread reads."""

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
            if len(self._sites) > SITES:
                self._fold()
            self._worst = sorted([*self._worst, stall], key=lambda it: -it.duration)[:WORST]
            self._stalled[stall.cause] = self._stalled.get(stall.cause, 0.0) + stall.duration
            self._stalls[stall.cause] = self._stalls.get(stall.cause, 0) + 1

    def ranked(self) -> tuple[Site, ...]:
        """Return the sites, the one that stalled the loop for longest first."""
        with self._lock:
            return tuple(sorted(self._sites.values(), key=lambda site: -site.stalled))

    def worst(self) -> tuple[Stall, ...]:
        """Return the longest stalls, the longest first."""
        with self._lock:
            return tuple(self._worst)

    def stalled(self) -> dict[Cause, float]:
        """Return the seconds that the loop was stalled, by cause."""
        with self._lock:
            return dict(self._stalled)

    def stalls(self) -> dict[Cause, int]:
        """Return the number of stalls, by cause."""
        with self._lock:
            return dict(self._stalls)

    def _fold(self) -> None:
        """Make of the smaller half of the sites one of each cause, without a line."""
        ranked = sorted(self._sites.values(), key=lambda site: -site.stalled)
        kept = {(site.cause, site.culprit): site for site in ranked[: SITES // 2]}
        for site in ranked[SITES // 2 :]:
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
    )


def _merged(sites: Iterable[Site]) -> Site:
    """Return one site with the sums of ``sites``; the names are those of the first's line and the last's thread."""
    first, *_ = all_of_them = list(sites)
    last = all_of_them[-1]
    return Site(
        cause=first.cause,
        culprit=first.culprit if first.culprit == last.culprit else None,
        thread=last.thread,
        callback=last.callback,
        stalls=sum(site.stalls for site in all_of_them),
        stalled=sum(site.stalled for site in all_of_them),
        longest=max(site.longest for site in all_of_them),
    )
