"""Adds stalls up by cause and culprit, in constant memory. The longest stalls are kept whole."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gilscope.records.stall import Cause, Frame, Part, Site, Stall
from gilscope.watch.origin import Origin, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_SITES = 500
"""If there are more, the smaller half is merged into one site for each cause."""
MAX_LINES_APART = 5
"""Lines of a function that are further apart do different things."""
INNERMOST = 5
"""How many frames of a library's stack are shown."""
MAX_PATHS_AS_ROUTES = 10
"""If more paths than this differ in one segment only, that segment is a name that varies."""
MAX_PARTS = 5
"""How many parts of a site are kept, the longest ones."""
MAX_WORST = 50
"""How many stalls are kept whole, the longest ones."""

VARIES = re.compile(r"(?<![^/ ])[^/ \d]*\d[^/ ]*")
"""The segments of a request's path that have a digit differ from request to request: numbers, dates, UUIDs."""

Key = tuple[Cause, Frame | None, str | None, bool]
"""The cause, the line, the route where only a library's code answers the request, and whether it is many places."""


class Sites:
    """Where the stalls came from so far. The thread that reports stalls adds to it, and any thread may read it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sites: dict[Key, Site] = {}
        self._worst: list[Stall] = []
        self._stalled: dict[Cause, float] = {}
        self._stalls: dict[Cause, int] = {}

    def add(self, stall: Stall) -> None:
        with self._lock:
            site = _site(stall)
            key = _key(site)
            self._sites[key] = _merged([*filter(None, [self._sites.get(key)]), site])
            if len(self._sites) > MAX_SITES:
                self._merge_smallest()
            self._worst = sorted([*self._worst, stall], key=lambda it: -it.duration)[:MAX_WORST]
            self._stalled[stall.cause] = self._stalled.get(stall.cause, 0.0) + stall.duration
            self._stalls[stall.cause] = self._stalls.get(stall.cause, 0) + 1

    def ranked(self) -> tuple[Site, ...]:
        """Return the sites, the one that stalled the loops for longest first."""
        with self._lock:
            sites = list(self._sites.values())
        return tuple(sorted(_grouped(sites), key=lambda site: -site.stalled))

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
        """Merge the requests of a route, and of what is left the smaller half into one site for each cause, without a line."""
        ranked = sorted(_with_routes_merged(self._sites.values()), key=lambda site: -site.stalled)
        kept = {_key(site): site for site in ranked[: MAX_SITES // 2]}
        for site in ranked[MAX_SITES // 2 :]:
            rest = _without_place(site)
            kept[_key(rest)] = _merged([*filter(None, [kept.get(_key(rest))]), rest])
        self._sites = kept


def _key(site: Site) -> Key:
    route = VARIES.sub("*", site.request) if site.innermost and site.request else None
    return site.cause, site.culprit, route, site.many_places


def _without_place(site: Site) -> Site:
    """Return a site of which only the sums and the parts are left."""
    return Site(
        cause=site.cause,
        culprit=None,
        thread=None,
        callback=None,
        stalls=site.stalls,
        stalled=site.stalled,
        longest=site.longest,
        parts=site.parts,
        many_places=True,
    )


def _site(stall: Stall) -> Site:
    culprit = stall.culprit
    innermost: tuple[Frame, ...] = ()
    parts: Iterable[Part] = stall.parts
    if culprit and stall.callback and stall.thread == stall.culprit_thread and not is_programs(culprit):
        # The innermost line of a library is chance, and says nothing about the request.
        culprit, innermost = stall.callback, stall.stack[:INNERMOST]
        parts = [part for part in parts if part.cause != stall.cause or (part.culprit and is_programs(part.culprit))]
    return Site(
        cause=stall.cause,
        culprit=culprit,
        coroutine=stall.coroutine,
        task=stall.task,
        request=stall.request,
        innermost=innermost,
        thread=str(stall.culprit_thread) if stall.culprit_thread else None,
        callback=stall.callback,
        stalls=1,
        stalled=stall.duration,
        longest=stall.duration,
        parts=_added_up(parts),
    )


def _merged(sites: Iterable[Site]) -> Site:
    """Return one site with the sums of ``sites``. What differs between them is left out, but for examples: those of the last."""
    all_sites = list(sites)
    last = all_sites[-1]
    same = {
        name: getattr(last, name) if all(getattr(site, name) == getattr(last, name) for site in all_sites) else None
        for name in ("culprit", "callback", "task", "coroutine")
    }
    return replace(
        last,
        **same,
        requests_differ=any(site.requests_differ or site.request != last.request for site in all_sites),
        stalls=sum(site.stalls for site in all_sites),
        stalled=sum(site.stalled for site in all_sites),
        longest=max(site.longest for site in all_sites),
        parts=_added_up(part for site in all_sites for part in site.parts),
    )


def is_programs(line: Frame) -> bool:
    """Whether ``line`` is of the user's code, or of the package that the program was started from."""
    return origin_of(line.file, line.function) <= Origin.PROGRAM


def _grouped(sites: Iterable[Site]) -> Iterator[Site]:
    """Yield the sites, those of one handler as one: neighbouring lines of a function, run by the same callback and coroutine."""
    handlers: dict[object, list[Site]] = defaultdict(list)
    for site in _with_routes_merged(sites):
        line, callback = site.culprit, site.callback
        if line is None or site.innermost:
            yield site
            continue
        place = (line.file, line.function, callback and (callback.file, callback.function), site.coroutine)
        handlers[site.cause, place].append(site)
    for handler in handlers.values():
        group: list[Site] = []
        for site in sorted(handler, key=_line):
            if group and _line(site) > _line(group[-1]) + MAX_LINES_APART:
                yield _group(group)
                group = []
            group.append(site)
        yield _group(group)


def _with_routes_merged(sites: Iterable[Site]) -> Iterator[Site]:
    """Yield the sites, and as one those of requests that are probably of one route."""
    requests: dict[object, dict[str, Site]] = defaultdict(dict)
    for site in sites:
        cause, line, path, _ = _key(site)
        if path is None:
            yield site
        else:
            requests[cause, line][path] = site
    for paths in requests.values():
        yield from _by_route(paths)


def _by_route(left: dict[str, Site]) -> Iterator[Site]:
    """Yield the sites, by their path, as one for those that differ in one segment, not the first, if they are many."""
    alike: dict[str, list[str]] = defaultdict(list)
    for path in left:
        words = path.split("/")
        for index in range(2, len(words)):
            alike["/".join([*words[:index], "*", *words[index + 1 :]])].append(path)
    for paths in sorted(alike.values(), key=len, reverse=True):
        found = [path for path in paths if path in left]
        if len(found) > MAX_PATHS_AS_ROUTES:
            # The costliest is the example.
            yield _merged(sorted((left.pop(path) for path in found), key=lambda site: site.stalled))
    yield from left.values()


def _line(site: Site) -> int:
    return site.culprit.line if site.culprit else 0


def _group(sites: list[Site]) -> Site:
    """Return one site for several: at the line that stalled the loops for longest, with the lines of all."""
    if len(sites) == 1:
        return sites[0]
    longest = max(sites, key=lambda site: site.stalled)
    return replace(
        _merged(sites), culprit=longest.culprit, thread=longest.thread, lines=tuple(dict.fromkeys(map(_line, sites)))
    )


def _added_up(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Return the parts with one cause at one line as one, and of these the longest; the thread is that of the last."""
    sums: dict[tuple[Cause, Frame | None], Part] = {}
    for part in parts:
        key = (part.cause, part.culprit)
        sums[key] = replace(part, seconds=part.seconds + (sums[key].seconds if key in sums else 0.0))
    return tuple(sorted(sums.values(), key=lambda part: -part.seconds)[:MAX_PARTS])
