"""The records of where the time of loops went, and what a watch keeps of loops that come and go."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from gilscope.records.loop_time import TimeTree
from gilscope.watch import loop_time, stack
from gilscope.watch.api import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilscope._core import BusyTree

HANDLE = (stack.HANDLE, 84, "Handle._run")
RUN_ONCE = (stack.LOOP, 1936, "BaseEventLoop._run_once")
RUN_FOREVER = (stack.LOOP, 608, "BaseEventLoop.run_forever")
RUNNER = (stack.RUNNERS, 118, "Runner.run")
SELECT = (stack.SELECTORS, 468, "EpollSelector.select")
SERVE = ("/srv/app.py", 3, "serve")
PARSE = ("/srv/app.py", 9, "parse")
DUMPS = (f"{Path(os.__file__).parent}/json/__init__.py", 231, "dumps")

FrameData = tuple[str, int, str]


class Tree:
    """What the native watcher returns."""

    def __init__(self) -> None:
        self.frames: list[FrameData] = []
        self.stacks: list[SimpleNamespace] = []

    def add(self, seconds: float, *outermost_first: FrameData, **others: Any) -> Tree:
        fields: dict[str, Any] = {
            "loop": 1,
            "doing": "computing",
            "above": None,
            "task": None,
            "coroutine": None,
            "holder": None,
            "holder_frames": [],
        }
        fields.update(others, holder_frames=self._indices(others.get("holder_frames", ())))
        self.stacks.append(SimpleNamespace(seconds=seconds, frames=self._indices(outermost_first), **fields))
        return self

    def record(self, most: int = 1000) -> TimeTree:
        return loop_time.tree(cast("BusyTree", self), most=most)

    def _indices(self, frames: Iterable[FrameData]) -> list[int]:
        self.frames += [frame for frame in frames if frame not in self.frames]
        return [self.frames.index(frame) for frame in frames]


def functions(tree: TimeTree) -> list[list[str]]:
    return [[tree.frames[index].function for index in stack.frames] for stack in tree.stacks]


def test_a_stack_has_the_frames_of_the_callback_and_its_culprit() -> None:
    tree = Tree().add(1.0, RUN_FOREVER, RUN_ONCE, HANDLE, SERVE, PARSE, DUMPS).record()
    assert functions(tree) == [["serve", "parse", "dumps"]]
    [busy] = tree.stacks
    assert busy.culprit is not None
    assert tree.frames[busy.culprit].function == "parse"


def test_stacks_that_differ_below_the_callback_are_added_up() -> None:
    tree = Tree()
    tree.add(1.0, RUN_FOREVER, RUN_ONCE, HANDLE, SERVE)
    tree.add(2.0, RUNNER, RUN_FOREVER, RUN_ONCE, HANDLE, SERVE)
    [busy] = tree.record().stacks
    assert busy.seconds == 3.0


@pytest.mark.parametrize(
    ("frames", "above", "shown"),
    [
        ((RUN_FOREVER, RUN_ONCE), None, ["BaseEventLoop._run_once"]),
        ((RUN_FOREVER, RUN_ONCE, SELECT), None, ["BaseEventLoop._run_once", "EpollSelector.select"]),
        ((RUN_FOREVER, RUN_ONCE, SELECT, PARSE), None, ["parse"]),
        ((RUN_FOREVER, RUN_ONCE, HANDLE), None, ["Handle._run"]),
        ((RUNNER,), 0, ["Runner.run"]),
        ((RUNNER, SERVE), 1, ["serve"]),
        ((SERVE, PARSE), 1, ["parse"]),
        ((SERVE, PARSE), 2, ["serve", "parse"]),
        ((SERVE, PARSE), None, ["serve", "parse"]),
        ((), None, []),
    ],
)
def test_a_loop_without_a_callback_is_busy_itself(
    frames: tuple[FrameData, ...], above: int | None, shown: list[str]
) -> None:
    assert functions(Tree().add(1.0, *frames, above=above).record()) == [shown]


def test_the_culprit_of_a_stack_is_the_one_that_a_stall_would_have() -> None:
    ours = (f"{Path(loop_time.__file__).parent}/session.py", 5, "Session.stop")
    left_out = ("", 70, "frames left out")
    for frames in [(SERVE, DUMPS), (DUMPS,), (DUMPS, ours), (ours,), (SERVE, left_out, PARSE, ours), (left_out,)]:
        tree = Tree().add(1.0, *frames).record()
        named = stack.culprit([tree.frames[index] for index in reversed(tree.stacks[0].frames)])
        culprit = tree.stacks[0].culprit
        assert (None if culprit is None else tree.frames[culprit]) == named


def test_a_wait_for_the_gil_names_its_holder_and_the_line_of_that() -> None:
    holder = SimpleNamespace(native_id=7, name="pool_0")
    tree = Tree()
    tree.add(2.0, HANDLE, SERVE, doing="waiting for the GIL", holder=holder, holder_frames=[PARSE, DUMPS])
    tree.add(1.0, HANDLE, SERVE, doing="waiting for the GIL", holder=holder, holder_frames=[PARSE])
    [busy] = tree.record().stacks
    assert busy.seconds == 3.0
    assert busy.holder == "pool_0"
    assert busy.held_at is not None
    assert tree.record().frames[busy.held_at].function == "parse"


def test_what_is_too_small_to_keep_apart_counts_without_frames() -> None:
    tree = Tree()
    for line in range(1, 101):
        tree.add(line, HANDLE, ("/srv/app.py", line, "work"), loop=1 + line % 2)
    record = tree.record(most=10)
    assert sum(stack.seconds for stack in record.stacks) == 5050
    rest = {stack.loop: stack.seconds for stack in record.stacks if not stack.frames}
    assert len(record.stacks) == 12
    assert rest == {1: sum(range(2, 91, 2)), 2: sum(range(1, 91, 2))}
    assert len(record.frames) == 10
    assert [stack.seconds for stack in record.stacks] == sorted((s.seconds for s in record.stacks), reverse=True)


def spin(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def work(seconds: float) -> None:
    await asyncio.sleep(0.01)
    spin(seconds)
    await asyncio.sleep(0.01)


def test_all_stacks_together_have_the_busy_time_and_stay_after_the_watch() -> None:
    with Watch() as watch:
        asyncio.run(work(0.1))
    seen = watch.snapshot()
    assert sum(loop.busy for loop in seen.loops) > 0.09
    assert sum(stack.seconds for stack in watch.time_tree().stacks) == pytest.approx(
        sum(loop.busy for loop in seen.loops)
    )
    assert watch.snapshot().loops == seen.loops
    assert watch.time_tree() is watch.time_tree()
    assert all(loop.busy + loop.asleep <= seen.elapsed for loop in seen.loops)


def test_without_reading_the_gil_a_loop_is_busy_with_something_unknown() -> None:
    with Watch(read_gil=False) as watch:
        asyncio.run(work(0.1))
    tree = watch.time_tree()
    assert sum(stack.seconds for stack in tree.stacks if stack.doing in {"unknown", "no CPU"}) > 0.08
    assert not tree.frames


def test_a_watch_that_has_not_started_and_one_without_a_loop_have_no_time() -> None:
    watch = Watch()
    assert watch.time_tree() == TimeTree(frames=(), stacks=())
    with watch:
        spin(0.01)
    assert watch.time_tree() == TimeTree(frames=(), stacks=())
    assert watch.snapshot().loops == ()


def test_loops_of_several_threads_have_a_time_each() -> None:
    threads = [threading.Thread(target=lambda: asyncio.run(work(0.05)), name=f"loop {n}") for n in range(3)]
    with Watch() as watch:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    busy = {loop.thread.name: loop.busy for loop in watch.snapshot().loops if loop.busy > 0.02}
    assert busy.keys() == {"loop 0", "loop 1", "loop 2"}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_a_time_of_its_own(tmp_path: Path) -> None:
    with Watch() as watch:
        asyncio.run(work(0.02))
        if (pid := os.fork()) == 0:
            try:
                with pytest.raises(RuntimeError):
                    watch.time_tree()
                with Watch() as own:
                    asyncio.run(work(0.05))
                (tmp_path / "busy").write_text(str(max(loop.busy for loop in own.snapshot().loops)))
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
    assert float((tmp_path / "busy").read_text()) > 0.02
