"""The last minute of a process: what is shown, and nothing of how it is shown. Time is the attachment's own."""

from __future__ import annotations

from collections import deque
from time import process_time
from typing import TYPE_CHECKING

from gilscope.attach.live import LongHold
from gilscope.records.stall import Thread
from gilscope.top.lags import SECONDS_KEPT, Lags
from gilscope.top.picture import LoopRow, Picture, ThreadRow
from gilscope.top.spent import Spent
from gilscope.top.sums import LONGEST_WINDOW, WINDOWS, Sums
from gilscope.watch.bins import distinct, thread_name
from gilscope.watch.sites import Sites

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.attach.live import Live, StallNow, Turn
    from gilscope.records.stall import Site, Stall
    from gilscope.records.watch_report import Snapshot
    from gilscope.top.picture import SpentRow

MAX_SECONDS_TO_JUDGE = 5.0
"""A stall is judged and available at the latest so long after its end."""
HELD, OTHERS = 0, -1
"""Keys beside native thread ids: all threads together, and those that were too many to keep apart."""


class Model:
    """What a process did in the last minute, or since the last reset if that is less."""

    def __init__(self, live: Live, *, threshold: float, cpu_time: Callable[[], float] = process_time) -> None:
        """Show a process. ``cpu_time`` returns the CPU time of gilscope itself: of its sampling threads and of the view."""
        self._live = live
        self._cpu_time = cpu_time
        self._threshold = threshold
        self._snapshot: Snapshot | None = None
        self._start(0.0)

    def _start(self, at: float) -> None:
        self._began = self._at = at
        seen = self._snapshot
        self._loops: Sums[tuple[str, int]] = Sums(at, _loop_sums(seen))
        self._held: Sums[int] = Sums(at, _held_sums(seen))
        self._cost: Sums[None] = Sums(at, {None: self._cpu_time()})
        self._spent = Spent(at, self._live.time_tree() if seen else None)
        self._lags: dict[int, Lags] = {}
        self._last_lags: dict[int, float] = {}
        self._long_holds: dict[tuple[int, float], LongHold] = {}
        self._short_holds: deque[LongHold] = deque()
        self._stalls: dict[tuple[int, float], Stall] = {}
        self._now: tuple[StallNow, ...] = ()
        self._threads: list[Thread] = []

    def reset(self) -> None:
        """Forget what was seen until now."""
        self.update()
        self._start(self._at)
        self._threads = self._live.threads()

    def update(self) -> None:
        """Look at the process. To be called about once a second."""
        live, before = self._live, self._at
        self._snapshot = seen = live.snapshot()
        self._at = at = max(before, seen.elapsed)
        self._loops.add(at, _loop_sums(seen))
        self._held.add(at, _held_sums(seen))
        self._cost.add(at, {None: self._cpu_time()})
        self._spent.add(at, live.time_tree())
        self._now = tuple(sorted(live.now(), key=lambda late: -late.seconds))
        self._add_lags(live.turns(max(self._began, before - 1)))
        self._threads = live.threads()
        oldest = max(self._began, at - LONGEST_WINDOW)
        self._add_holds(max(self._began, before), oldest)
        self._stalls.update({(it.loop, it.start): it for it in live.stalls(max(oldest, before - MAX_SECONDS_TO_JUDGE))})
        self._stalls = {key: it for key, it in self._stalls.items() if it.end > oldest}

    def picture(self) -> Picture:
        """Return what to show, without stacks."""
        live, seen = self._live, self._snapshot
        unreadable = seen is None or seen.held is None
        return Picture(
            pid=live.pid,
            python=live.python,
            elapsed=self._at,
            since_reset=self._at - self._began,
            threshold=self._threshold,
            ended=live.ended,
            cost=self._cost_share(),
            loops=self._loop_rows(),
            held=(None,) * len(WINDOWS) if unreadable else self._shares(HELD),
            threads=self._thread_rows(),
            longest_hold=max(
                self._long_holds.values() or self._short_holds, key=lambda hold: hold.seconds, default=None
            ),
            spent=self._spent_rows(),
            culprits=self._culprits(),
            now=self._now,
            stacks={},
        )

    def _add_holds(self, since: float, oldest: float) -> None:
        """Add the long holds, and for when there are none, the longest of all that ended since the last update."""
        self._long_holds.update({(it.thread.native_id, it.start): it for it in self._live.long_holds(since)})
        self._long_holds = {key: it for key, it in self._long_holds.items() if it.start + it.seconds > oldest}
        # Thousands of short holds in a second would cost more than anything else here.
        holds = [] if self._long_holds else self._live.holds(since)
        longest = max(holds, key=lambda hold: hold.end - hold.start, default=None)
        if longest is not None:
            thread = Thread(longest.native_id, longest.name)
            self._short_holds.append(LongHold(thread, longest.start, longest.end - longest.start, None))
        while self._short_holds and self._short_holds[0].start + self._short_holds[0].seconds <= oldest:
            self._short_holds.popleft()

    def _add_lags(self, lags: list[Turn]) -> None:
        counted: dict[int, list[tuple[float, float]]] = {}
        for lag in lags:
            if lag.end > self._last_lags.get(lag.loop, self._began):
                counted.setdefault(lag.loop, []).append((lag.end, lag.seconds))
        self._last_lags.update({loop: new[-1][0] for loop, new in counted.items()})
        late = {stall.loop: stall.seconds for stall in self._now}
        for loop in {*self._lags, *counted, *late}:
            self._lags.setdefault(loop, Lags()).add(self._at, counted.get(loop, ()), late.get(loop))

    def _loop_rows(self) -> tuple[LoopRow, ...]:
        grown = [self._loops.over(seconds)[1] for seconds in WINDOWS]
        rows = []
        for time in self._snapshot.loops if self._snapshot else ():
            busy = tuple(_share(sums["busy", time.loop], sums["asleep", time.loop]) for sums in grown)
            if any(share is not None for share in busy):
                lags = self._lags.get(time.loop, Lags())
                rows.append(
                    LoopRow(
                        loop=time.loop,
                        thread=str(time.thread),
                        busy=busy,
                        lags=tuple(lags.over(seconds) for seconds in WINDOWS),
                        longest=lags.longest_by_second(self._at, SECONDS_KEPT),
                    )
                )
        return tuple(rows)

    def _cost_share(self) -> float:
        span, cost = self._cost.over(WINDOWS[1])
        return cost[None] / span if span else 0.0

    def _shares(self, key: int) -> tuple[float, ...]:
        shares = []
        for seconds in WINDOWS:
            span, grown = self._held.over(seconds)
            shares.append(min(1.0, grown.get(key, 0.0) / span) if span else 0.0)
        return tuple(shares)

    def _thread_rows(self) -> tuple[ThreadRow, ...]:
        """Return the threads that are alive, and those that held the GIL in the last minute; the longest holder first."""
        names: dict[int, str | None] = {thread.native_id: thread.name for thread in self._threads}
        alive = set(names)
        _, grown = self._held.over(LONGEST_WINDOW)
        for holder in self._snapshot.held_by if self._snapshot else ():
            if grown.get(_key(holder.native_id)):
                names.setdefault(holder.native_id, holder.thread)
        named = distinct({thread: thread_name(thread, name) for thread, name in names.items()})
        rows = [ThreadRow(thread, named[thread], self._shares(_key(thread)), thread in alive) for thread in names]
        return tuple(sorted(rows, key=lambda row: (-row.shares[-1], row.native_id)))

    def _spent_rows(self) -> tuple[SpentRow, ...]:
        _, loops = self._loops.over(LONGEST_WINDOW)
        sampled = {loop: loops["busy", loop] + loops["asleep", loop] for what, loop in loops if what == "busy"}
        return self._spent.rows(sampled)

    def _culprits(self) -> tuple[Site, ...]:
        sites = Sites()
        for stall in self._stalls.values():
            sites.add(stall)
        return sites.ranked()


def _key(native_id: int) -> int:
    """Return the key of a thread."""
    return native_id or OTHERS


def _loop_sums(seen: Snapshot | None) -> dict[tuple[str, int], float]:
    loops = seen.loops if seen else ()
    return {("busy", time.loop): time.busy for time in loops} | {("asleep", time.loop): time.asleep for time in loops}


def _held_sums(seen: Snapshot | None) -> dict[int, float]:
    if seen is None:
        return {}
    by_thread = {_key(holder.native_id): holder.held for holder in seen.held_by}
    return {HELD: seen.held or 0.0, **by_thread}


def _share(busy: float, asleep: float) -> float | None:
    return busy / (busy + asleep) if busy + asleep else None
