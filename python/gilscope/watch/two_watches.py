"""Two watches of one program, before and after a change: which sites of stalls are gone, new, better or worse.

Watches last for different times, so a site is judged by the seconds that it stalled the loops per second of watched time.
Stalls come at random: a change counts if it is larger than chance would make it (:data:`MIN_DEVIATIONS`), and larger than a
quarter. Line numbers move when a file is edited, so a site is the same site if cause, file and function are the same.
"""

from __future__ import annotations

from collections import defaultdict
from math import sqrt
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from gilscope.records.stall import Cause, Frame, Site
    from gilscope.records.watch_report import Snapshot

MIN_RATIO = 1.25
MIN_DEVIATIONS = 2.0
"""Standard deviations of the difference between two rates of stalls that come at random: 5 stalls against none."""

Trend = Literal["gone", "new", "better", "worse", "same"]


class Rate(NamedTuple):
    """What one site cost in one of the watches."""

    stalls: int
    stalled: float
    """Seconds."""
    longest: float
    watched: float
    """Seconds that the watch lasted."""

    @property
    def per_second(self) -> float:
        return self.stalled / self.watched if self.watched else 0.0


class SiteChange(NamedTuple):
    """One site, before and after. ``culprit`` is where it is now; ``moved_from`` its earlier line if that differs."""

    cause: Cause
    culprit: Frame | None
    moved_from: int | None
    before: Rate
    after: Rate
    trend: Trend
    certain: bool
    """Whether the difference is larger than chance would make it."""


def site_changes(before: Snapshot, after: Snapshot) -> list[SiteChange]:
    """Return every site that either watch has seen, the largest change of stalled time per second first."""
    pairs = _paired(_merged(before.sites), _merged(after.sites))
    found = [_change(one, other, before.elapsed, after.elapsed) for one, other in pairs]
    return sorted(found, key=lambda it: -abs(it.after.per_second - it.before.per_second))


def _merged(sites: Iterable[Site]) -> dict[Hashable, list[Site]]:
    """Return the sites by cause, file and function, the costliest line of each first."""
    merged = defaultdict(list)
    for site in sorted(sites, key=lambda site: -site.stalled):
        merged[_key(site, lambda file: file)].append(site)
    return dict(merged)


def _key(site: Site, file: Callable[[str], str]) -> Hashable:
    return (site.cause, site.culprit and (file(site.culprit.file), site.culprit.function))


def _paired(
    before: dict[Hashable, list[Site]], after: dict[Hashable, list[Site]]
) -> list[tuple[list[Site], list[Site]]]:
    """Pair the sites of both watches. What has no partner, as after a move to another folder, is paired by the file's name."""
    pairs = [(sites, after[key]) for key, sites in before.items() if key in after]
    gone = _by_name(sites for key, sites in before.items() if key not in after)
    new = _by_name(sites for key, sites in after.items() if key not in before)
    for key in dict.fromkeys([*gone, *new]):
        ones, others = gone.get(key, []), new.get(key, [])
        if len(ones) == len(others) == 1:
            pairs.append((ones[0], others[0]))
        else:
            pairs += [(sites, []) for sites in ones] + [([], sites) for sites in others]
    return pairs


def _by_name(groups: Iterable[list[Site]]) -> dict[Hashable, list[list[Site]]]:
    named = defaultdict(list)
    for sites in groups:
        named[_key(sites[0], lambda file: PurePath(file).name)].append(sites)
    return dict(named)


def _change(before: list[Site], after: list[Site], watched_before: float, watched_after: float) -> SiteChange:
    one, other = _rate(before, watched_before), _rate(after, watched_after)
    shown = (after or before)[0]
    lines = {line for site in after if site.culprit for line in (site.culprit.line, *site.lines)}
    earlier = before[0].culprit.line if before and before[0].culprit else None
    moved = bool(lines) and earlier is not None and earlier not in lines
    return SiteChange(
        cause=shown.cause,
        culprit=shown.culprit,
        moved_from=earlier if moved else None,
        before=one,
        after=other,
        trend=_trend(one, other),
        certain=_deviations(one, other) > MIN_DEVIATIONS,
    )


def _rate(sites: list[Site], watched: float) -> Rate:
    return Rate(
        stalls=sum(site.stalls for site in sites),
        stalled=sum(site.stalled for site in sites),
        longest=max((site.longest for site in sites), default=0.0),
        watched=watched,
    )


def _trend(before: Rate, after: Rate) -> Trend:
    if not after.stalls:
        return "gone"
    if not before.stalls:
        return "new"
    if after.per_second > MIN_RATIO * before.per_second:
        return "worse"
    return "better" if before.per_second > MIN_RATIO * after.per_second else "same"


def _deviations(before: Rate, after: Rate) -> float:
    """Return by how many standard deviations the two rates differ, if the stalls of one rate came at random moments.

    The variance of a sum of random stalls is at most that of as many of the longest as make the same sum.
    """
    if not (before.watched and after.watched):
        return 0.0
    mean = (before.stalled + after.stalled) / (before.watched + after.watched)
    variance = mean * max(before.longest, after.longest) * (1 / before.watched + 1 / after.watched)
    return abs(after.per_second - before.per_second) / sqrt(variance) if variance else 0.0
