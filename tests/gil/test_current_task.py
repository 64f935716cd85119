"""The task that a loop is running a step of is read from memory, rightly or not at all."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import pytest
from gilscope._core import _TaskReader

from tests.gil.test_gil import READABLE

pytestmark = pytest.mark.skipif(not READABLE, reason="no stack is read on a free-threaded build")

Task = tuple[str, str] | None
Run = Callable[[Coroutine[Any, Any, Any]], Any]


def current() -> Task:
    """Return the calling thread's current task as a native thread reads it."""
    return _TaskReader().read(asyncio.get_running_loop())[0]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    module = pytest.importorskip("uvloop") if request.param == "uvloop" else asyncio
    return functools.partial(_run, module.new_event_loop)


def _run(factory: Callable[[], asyncio.AbstractEventLoop], main: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


async def outer() -> Task:
    return await inner()


async def inner() -> Task:
    await asyncio.sleep(0)
    return current()


def test_a_task_is_read_with_its_name_and_the_coroutine_that_it_runs_and_not_one_that_this_awaits(run: Run) -> None:
    async def main() -> Task:
        return await asyncio.create_task(outer(), name="a task")

    assert run(main()) == ("a task", "outer")


def test_every_task_of_a_group_is_read_as_itself(run: Run) -> None:
    async def main() -> list[Task]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(outer(), name=f"number {number}") for number in range(5)]
        return [task.result() for task in tasks]

    assert run(main()) == [(f"number {number}", "outer") for number in range(5)]


def test_a_task_without_a_name_is_read_with_the_name_that_it_will_say(run: Run) -> None:
    async def main() -> None:
        task = asyncio.create_task(outer())
        read = await task
        assert read == (task.get_name(), "outer")
        assert read[0].startswith("Task-")

    run(main())


@pytest.mark.parametrize("name", ["", "n" * 999, "élan", "中文", "\U0001d4b3", 7, None, 2.5, b"bytes"])
def test_a_name_of_any_text_and_what_was_no_text_is_read(run: Run, name: object) -> None:
    async def main() -> None:
        task = asyncio.create_task(outer(), name=name)  # type: ignore[arg-type]
        assert await task == (task.get_name(), "outer")

    run(main())


def test_lone_surrogates_are_escaped_and_long_names_are_cut(run: Run) -> None:
    async def main() -> list[Task]:
        return [await asyncio.create_task(outer(), name=name) for name in ("\udce9a", "n" * 100_000)]

    assert run(main()) == [("\\udce9a", "outer"), ("n" * 1000, "outer")]


def test_a_name_and_a_qualified_name_that_are_set_later_are_read(run: Run) -> None:
    class Text(str):
        __slots__ = ()

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        coroutine: Any = task.get_coro()
        for name in ("other", Text("élan")):
            task.set_name(name)
            coroutine.__qualname__ = f"of {name}"
            assert current() == (name, f"of {name}")

    run(main())


def test_a_callback_that_belongs_to_no_task_is_read_as_no_task(run: Run) -> None:
    async def main() -> Task:
        event_loop = asyncio.get_running_loop()
        read: asyncio.Future[Task] = event_loop.create_future()
        event_loop.call_soon(lambda: read.set_result(current()))
        return await read

    assert run(main()) is None


def test_another_loop_than_the_one_that_runs_has_no_task() -> None:
    other = asyncio.new_event_loop()

    async def main() -> Task:
        return _TaskReader().read(other)[0]

    try:
        assert asyncio.run(main()) is None
    finally:
        other.close()


def test_the_task_is_found_below_a_stack_of_which_only_the_ends_are_kept(run: Run) -> None:
    def down(depth: int) -> Task:
        return down(depth - 1) if depth else current()

    async def deep() -> Task:
        return down(400)

    async def main() -> Task:
        return await asyncio.create_task(deep(), name="deep")

    read = run(main())
    assert read is not None
    assert read[0] == "deep"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="a task takes no generator since 3.12")
def test_a_task_whose_coroutine_is_a_generator_is_read(run: Run) -> None:
    import types

    @types.coroutine
    def steps() -> Generator[None, None, Task]:
        yield
        return current()

    steps.__qualname__ = "steps"

    async def main() -> Task:
        return await asyncio.create_task(steps(), name="old")

    read = run(main())
    assert read is not None
    assert read[0] == "old"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are eager tasks since 3.12")
def test_the_eager_step_of_a_task_is_read_as_its_own_and_what_follows_as_the_callers() -> None:
    async def eager() -> tuple[str, Task]:
        task = asyncio.current_task()
        assert task is not None
        return task.get_name(), current()

    async def main() -> tuple[tuple[str, Task], Task]:
        since_3_12: Any = asyncio
        asyncio.get_running_loop().set_task_factory(since_3_12.eager_task_factory)
        read = await asyncio.create_task(eager(), name="eager")
        task = asyncio.current_task()
        assert task is not None
        task.set_name("main")
        return read, current()

    (name, first), second = asyncio.run(main())
    where = "test_the_eager_step_of_a_task_is_read_as_its_own_and_what_follows_as_the_callers.<locals>."
    assert first == (name, f"{where}eager")
    assert second == ("main", f"{where}main")


def test_a_task_of_a_derived_class_is_read_and_one_in_python_is_not(run: Run) -> None:
    class Derived(asyncio.Task[Any]):
        pass

    python_task: Any = asyncio.tasks._PyTask  # type: ignore[attr-defined]

    async def main() -> list[Task]:
        event_loop = asyncio.get_running_loop()
        return [await kind(outer(), loop=event_loop, name="special") for kind in (Derived, python_task)]

    assert run(main()) == [("special", "outer"), None]


def test_loops_of_two_threads_have_each_its_own_task(run: Run) -> None:
    """The second thread waits for the GIL, which the reading thread holds."""
    waits, ended = threading.Event(), threading.Event()
    running: list[asyncio.AbstractEventLoop] = []

    async def elsewhere() -> None:
        running.append(asyncio.get_running_loop())
        waits.set()
        ended.wait()

    async def main() -> tuple[Task, Task]:
        task = asyncio.current_task()
        assert task is not None
        task.set_name("here")
        assert thread.native_id is not None
        return current(), _TaskReader().read(running[0], thread.native_id)[0]

    async def named() -> None:
        await asyncio.create_task(elsewhere(), name="elsewhere")

    thread = threading.Thread(target=lambda: asyncio.run(named()))
    thread.start()
    try:
        waits.wait()
        here, there = run(main())
    finally:
        ended.set()
        thread.join()
    assert here[0] == "here"
    assert there[0] == "elsewhere"
    assert there[1].endswith("elsewhere")


def test_no_task_is_read_with_the_name_of_one_and_the_coroutine_of_another(run: Run) -> None:
    """The loop runs all the time, and goes from one short task to the next while a native thread reads."""
    ended = threading.Event()
    begun = threading.Event()
    running: list[asyncio.AbstractEventLoop] = []

    async def step() -> int:
        return sum(range(500))

    async def main() -> None:
        running.append(asyncio.get_running_loop())
        begun.set()
        number = 0
        while not ended.is_set():
            number += 1
            coroutine: Any = step()
            coroutine.__qualname__ = f"coroutine of {number}"
            await asyncio.create_task(coroutine, name=str(number))

    async def named() -> None:
        await asyncio.create_task(main(), name="main")

    thread = threading.Thread(target=lambda: run(named()))
    thread.start()
    try:
        begun.wait()
        reader = _TaskReader()
        assert thread.native_id is not None
        tasks: list[Task] = []
        while sum(task is not None for task in tasks) < 500:
            tasks += [task for task, _ in reader.read_often(running[0], thread.native_id, 500)]
    finally:
        ended.set()
        thread.join()
    for name, coroutine in filter(None, tasks):
        if name == "main":
            assert coroutine.endswith("main")
        else:
            assert coroutine == f"coroutine of {name}"
