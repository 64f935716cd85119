"""A process as an attachment shows it, made up: each figure is a function of the time, which the test sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.attach.live import LongHold, StallNow, Turn
from gilscope.records.loop_time import BusyStack, LoopTime, TimeTree
from gilscope.records.stall import Frame, Stall, Thread
from gilscope.records.watch_report import Holder, Snapshot
from gilscope.watch.bins import Hold

from tests.support.watched import distribution, stall, watched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilscope.records.watch_report import WatchReport

MAIN, POOL, IDLE = Thread(101, "MainThread"), Thread(102, "asyncio_0"), Thread(103, None)
HANDLER = Frame("/srv/shop/orders/handlers.py", 41, "OrderHandler.post")
PARSE = Frame("/srv/shop/orders/parse.py", 9, "parse")
RUN = Frame("/usr/lib/python3.13/asyncio/base_events.py", 2042, "BaseEventLoop._run_once")
STACK = (HANDLER, RUN, Frame("/srv/shop/main.py", 7, "<module>"))
TREE_FRAMES = (HANDLER, PARSE)

BUSY, HELD_BY_MAIN, HELD_BY_POOL = 0.8, 0.5, 0.2
TURNS_PER_SECOND = 100


class Service:
    """A service whose loop is busy for 80 % of the time, and a thread of whose pool holds the GIL for 20 %."""

    pid = 4711
    python = "3.13.0"
    command = ("uvicorn", "orders:app")
    began = 0.0

    def __init__(self, *, at: float = 0.0, loops: int = 1) -> None:
        self.at = at
        self.ended = False
        self.loops = loops
        self.turn_ends: list[Turn] | None = None
        """The lags; ``None``: 100 of 2 ms in each second, of each loop."""
        self.stalled: list[Stall] = []
        self.late: tuple[StallNow, ...] = ()
        self.long: list[LongHold] = []
        self.others: list[Thread] = []
        self.stacks = {MAIN.native_id: STACK, POOL.native_id: (PARSE,)}

    def snapshot(self) -> Snapshot:
        held = {MAIN: HELD_BY_MAIN, POOL: HELD_BY_POOL}
        return Snapshot(
            elapsed=self.at,
            samples=1000,
            held=sum(held.values()) * self.at,
            held_by=tuple(Holder(thread.native_id, str(thread), share * self.at) for thread, share in held.items()),
            waited=0.0,
            waits=distribution(),
            lags=distribution(0.002),
            stalled={},
            stalls={},
            sites=(),
            worst=(),
            collected=0.0,
            cost=0.012 * self.at,
            lost=0,
            children=0,
            gil_unreadable=None,
            loops=tuple(
                LoopTime(loop=loop, thread=MAIN, busy=BUSY * self.at, asleep=(1 - BUSY) * self.at)
                for loop in range(1, self.loops + 1)
            ),
        )

    def report(self, command: Sequence[str]) -> WatchReport:
        return watched(*self.stalled, elapsed=max(1.0, self.at), command=tuple(command))

    def time_tree(self) -> TimeTree:
        return TimeTree(
            frames=TREE_FRAMES,
            stacks=(
                BusyStack(loop=1, doing="computing", seconds=0.41 * self.at, frames=(0,), culprit=0),
                BusyStack(
                    loop=1,
                    doing="waiting for the GIL",
                    seconds=0.22 * self.at,
                    frames=(0,),
                    culprit=0,
                    holder="asyncio_0",
                    held_at=1,
                ),
            ),
        )

    def turns(self, since: float) -> list[Turn]:
        turns = self.turn_ends
        if turns is None:
            turns = [
                Turn(loop, number / TURNS_PER_SECOND, 0.002)
                for number in range(max(1, int(since * TURNS_PER_SECOND)), int(self.at * TURNS_PER_SECOND) + 1)
                for loop in range(1, self.loops + 1)
            ]
        return [turn for turn in turns if since < turn.end <= self.at]

    def holds(self, since: float) -> list[Hold]:
        return [Hold(POOL.native_id, POOL.name, since, self.at)]

    def long_holds(self, since: float) -> list[LongHold]:
        return [hold for hold in self.long if since < hold.start + hold.seconds <= self.at]

    def stalls(self, since: float) -> list[Stall]:
        return [stall for stall in self.stalled if since < stall.end <= self.at]

    def now(self) -> tuple[StallNow, ...]:
        return self.late

    def threads(self) -> list[Thread]:
        return [MAIN, POOL, IDLE, *self.others]

    def stack(self, native_id: int) -> tuple[Frame, ...]:
        return self.stacks.get(native_id, ())


def troubled(*, at: float = 60.0) -> Service:
    """Return a service with stalls of several causes, one of which lasts at this moment."""
    service = Service(at=at)
    service.stalled = [
        *(stall("starved by a hog", at - 50 + 5 * n, 0.138, function="parse", line=9) for n in range(8)),
        *(stall("blocked, computing", at - 47 + 9 * n, 0.09, function="OrderHandler.post", line=41) for n in range(4)),
        stall("blocked, waiting", at - 20, 0.4, function="fetch_everything_from_the_old_system", line=1234),
    ]
    service.turn_ends = [
        *(Turn(1, number / TURNS_PER_SECOND, 0.002) for number in range(1, int(at * TURNS_PER_SECOND) + 1)),
        *(Turn(1, one.end, one.duration) for one in service.stalled),
    ]
    service.turn_ends.sort(key=lambda turn: turn.end)
    service.long = [LongHold(POOL, one.start, one.duration, PARSE) for one in service.stalled[:8]]
    service.late = (StallNow(1, 0.312, "starved by a hog", PARSE, POOL),)
    return service


def other_thread(number: int) -> Thread:
    return Thread(200 + number, f"worker_{number}")
