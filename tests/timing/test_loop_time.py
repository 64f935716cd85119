"""How busy a loop is, and where its time goes, beside loops that measure that themselves."""

from __future__ import annotations

import asyncio
import select
import selectors
import threading
import time
from ctypes import CDLL, PyDLL
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from gilscope import _core
from gilscope.watch.api import Watch

from tests.support.stalling import Run, run_asyncio, run_uvloop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilscope.records.loop_time import LoopTime, TimeTree
    from gilscope.records.watch_report import Snapshot

FULL_RATE_AT_START = 0.2
MAX_TIMES = 3
ERROR_PER_LACK_OF_CPU = 2
"""On a busy machine the loop itself wakes late, and is then busy for longer than it can measure; and the sampler is late too."""
PERIOD = 0.1


@pytest.fixture(autouse=True)
def _soon_steady() -> Iterator[None]:
    before = _core._Testing.set_full_rate_at_start(FULL_RATE_AT_START)
    yield
    _core._Testing.set_full_rate_at_start(before)


@pytest.fixture(params=[run_asyncio, pytest.param(run_uvloop, marks=pytest.mark.thorough)])
def run(request: pytest.FixtureRequest) -> Run:
    chosen: Run = request.param
    return chosen


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


class Share(NamedTuple):
    truth: float
    seen: float
    without_cpu: float = 0.0
    """Another share of the time: that in which the loop was busy, and had no CPU."""

    @property
    def error(self) -> float:
        return max(0.0, abs(self.truth - self.seen) - ERROR_PER_LACK_OF_CPU * self.without_cpu)


def within(limit: float, measured: Callable[[], list[Share]]) -> list[Share]:
    """Return the shares of the first measurement in which all are right to within ``limit``, or of the third."""
    for _ in range(MAX_TIMES):
        shares = measured()
        if all(share.error <= limit for share in shares):
            break
    return shares


def main_loop(seen: Snapshot) -> LoopTime:
    """Return the loop that ran for longest: ``asyncio.run`` runs its loop again for a moment to close it."""
    return max(seen.loops, key=lambda loop: loop.busy + loop.asleep)


def utilization(before: Snapshot, after: Snapshot) -> float:
    now, then = main_loop(after), main_loop(before)
    busy = now.busy - then.busy
    return busy / (busy + now.asleep - then.asleep)


def without_cpu(tree: TimeTree) -> float:
    return sum(stack.seconds for stack in tree.stacks if stack.doing == "no CPU")


def test_utilization_is_right_in_each_duty_cycle_from_one_snapshot_to_the_next(run: Run) -> None:
    async def cycle(share: float, seconds: float) -> Share:
        before, lacked, busy = watch.snapshot(), without_cpu(watch.time_tree()), 0.0
        began = time.perf_counter()
        while time.perf_counter() < began + seconds:
            start = time.perf_counter()
            spin(share * PERIOD)
            busy += time.perf_counter() - start
            await asyncio.sleep((1 - share) * PERIOD)
        took = time.perf_counter() - began
        lack = (without_cpu(watch.time_tree()) - lacked) / took
        return Share(busy / took, utilization(before, watch.snapshot()), lack)

    async def main() -> None:
        await asyncio.sleep(0.1)
        shares.extend([await cycle(share, 1.5) for share in (0.1, 0.5, 0.9)])

    def measured() -> list[Share]:
        shares.clear()
        run(main)
        return shares

    shares: list[Share] = []
    with Watch() as watch:
        for share in within(0.02, lambda: _anew(watch, measured)):
            assert share.error <= 0.02, share


def _anew(watch: Watch, measured: Callable[[], list[Share]]) -> list[Share]:
    watch.stop()
    watch.start()
    return measured()


def test_a_loop_that_runs_short_callbacks_back_to_back_is_saturated_though_it_never_stalls() -> None:
    async def main() -> None:
        end = time.perf_counter() + 1
        while time.perf_counter() < end:
            spin(0.02)
            await asyncio.sleep(0)

    with Watch() as watch:
        asyncio.run(main())
    loop = main_loop(watch.snapshot())
    assert loop.busy > 0.9
    assert loop.asleep < 0.02 * loop.busy


@pytest.mark.usefixtures("unmeasured")
def test_a_stack_that_changes_all_the_time_is_seen_as_far_as_it_stays() -> None:
    def changes(depth: int) -> None:
        if depth:
            changes(depth - 1)

    async def main() -> None:
        end = time.perf_counter() + 1
        while time.perf_counter() < end:
            for _ in range(5000):
                changes(5)
            await asyncio.sleep(0)

    with Watch() as watch:
        # In a thread of its own the stack is as short as a program's; that of pytest is deep, and takes longer to read.
        thread = threading.Thread(target=lambda: asyncio.run(main()))
        thread.start()
        thread.join()
    tree = watch.time_tree()
    busy = sum(stack.seconds for stack in tree.stacks)
    seen = sum(
        stack.seconds
        for stack in tree.stacks
        if stack.frames and tree.frames[stack.frames[0]].function == main.__qualname__
    )
    assert seen > 0.8 * busy


def in_epoll(seconds: float) -> None:
    with select.epoll() as other:
        other.poll(seconds)


def in_poll(seconds: float) -> None:
    select.poll().poll(1000 * seconds)


def in_select(seconds: float) -> None:
    select.select([], [], [], seconds)


class OnlyTimers(asyncio.SelectorEventLoop):
    """As loops of toolkits that cannot watch files."""

    def add_reader(self, *_: object) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("loop", "wait"),
    [
        (lambda: asyncio.SelectorEventLoop(selectors.SelectSelector()), in_select),
        (lambda: OnlyTimers(selectors.EpollSelector()), in_epoll),
        pytest.param(asyncio.SelectorEventLoop, in_epoll, marks=pytest.mark.thorough),
        pytest.param(asyncio.SelectorEventLoop, in_select, marks=pytest.mark.thorough),
        pytest.param(lambda: asyncio.SelectorEventLoop(selectors.PollSelector()), in_poll, marks=pytest.mark.thorough),
    ],
    ids=["select in select", "timers only", "epoll in epoll", "select in epoll", "poll in poll"],
)
def test_a_callback_that_waits_for_files_of_its_own_is_not_asleep(
    loop: Callable[[], asyncio.AbstractEventLoop], wait: Callable[[float], None]
) -> None:
    async def main() -> None:
        end = time.perf_counter() + 1
        while time.perf_counter() < end:
            wait(0.03)
            await asyncio.sleep(0.07)

    with Watch() as watch, asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
    blocked = sum(stack.seconds for stack in watch.time_tree().stacks if stack.doing == "blocked")
    asleep = main_loop(watch.snapshot()).asleep
    assert blocked + asleep > 0.3  # a loop of a class that is not known is watched once its clock has been tried
    assert blocked / (blocked + asleep) == pytest.approx(0.3, abs=0.2)


class Script:
    """Turns of a loop whose parts are known: two that compute, one that waits for a hog, and one that sleeps in its callback."""

    def __init__(self) -> None:
        self.truth = {"parse": 0.0, "render": 0.0, "starve": 0.0, "query": 0.0}
        self.took = 0.0
        self._begin, self._over = threading.Event(), threading.Event()

    async def turns(self) -> None:
        thread = threading.Thread(target=self.hog, name="the hog")
        thread.start()
        began = time.perf_counter()
        while time.perf_counter() < began + 5:
            for part, seconds in [(self.parse, 0.03), (self.render, 0.005), (self.starve, 0.0), (self.query, 0.015)]:
                start = time.perf_counter()
                part(seconds)
                self.truth[part.__name__] += time.perf_counter() - start
            await asyncio.sleep(0.02)
        self.took = time.perf_counter() - began
        self._over.set()
        self._begin.set()
        thread.join()

    def parse(self, seconds: float) -> None:
        spin(seconds)

    def render(self, seconds: float) -> None:
        spin(seconds)

    def starve(self, _: float) -> None:
        self._begin.set()
        CDLL(None).usleep(1)  # meanwhile the hog acquires the GIL

    def query(self, seconds: float) -> None:
        time.sleep(seconds)

    def hog(self) -> None:
        while self._begin.wait() and not self._over.is_set():
            self._begin.clear()
            PyDLL(None).usleep(20_000)


def spent(tree: TimeTree, function: str, *doing: str) -> float:
    """Return for how long the loop did this in a function."""
    return sum(
        stack.seconds
        for stack in tree.stacks
        if stack.doing in doing and f"Script.{function}" in {tree.frames[index].function for index in stack.frames}
    )


def test_the_time_tree_has_each_part_of_a_turn_at_its_line_with_what_the_loop_did_there() -> None:
    def measured() -> list[Share]:
        script = Script()
        watch = watches[0] = Watch()
        with watch:
            asyncio.run(script.turns())
        tree = watch.time_tree()
        parts = {
            "parse": ("computing", "no CPU"),
            "render": ("computing", "no CPU"),
            "starve": ("waiting for the GIL", "no CPU"),
            "query": ("blocked",),
        }
        lack = without_cpu(tree) / script.took
        return [
            Share(script.truth[part] / script.took, spent(tree, part, *doing) / script.took, lack)
            for part, doing in parts.items()
        ]

    watches = [Watch()]
    for share in within(0.03, measured):
        assert share.error <= 0.03, share
    tree = watches[0].time_tree()
    busy = sum(loop.busy for loop in watches[0].snapshot().loops)
    assert sum(stack.seconds for stack in tree.stacks) == pytest.approx(busy)
    waits = max((stack for stack in tree.stacks if stack.holder), key=lambda stack: stack.seconds)
    assert waits.holder == "the hog"
    assert waits.held_at is not None
    assert tree.frames[waits.held_at].function == "Script.hog"
    assert waits.coroutine == "Script.turns"
