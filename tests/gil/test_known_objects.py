"""What is learned at the start of a watch, to read tasks and requests from memory, leaves no trace in the program."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import warnings
from typing import Any

import pytest
from gilscope._core import _TaskReader
from gilscope.watch import running_loops

from tests.gil.test_gil import READABLE
from tests.support import child

pytestmark = pytest.mark.skipif(not READABLE, reason="no stack is read on a free-threaded build")


def learn() -> None:
    _TaskReader()


def test_nothing_that_is_made_to_learn_remains() -> None:
    learn()
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(50):
            learn()
        assert len(gc.get_objects()) - before < 50
        assert gc.collect() < 50
    finally:
        gc.enable()


def test_no_coroutine_and_no_task_is_reported_as_unfinished(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learn()
        gc.collect()
    assert capfd.readouterr() == ("", "")


def test_no_task_number_is_used() -> None:
    async def main() -> tuple[str, str]:
        first = asyncio.create_task(asyncio.sleep(0))
        learn()
        second = asyncio.create_task(asyncio.sleep(0))
        await asyncio.gather(first, second)
        return first.get_name(), second.get_name()

    first, second = asyncio.run(main())
    assert int(second.removeprefix("Task-")) == int(first.removeprefix("Task-")) + 1


def test_a_loop_that_runs_keeps_its_task_and_gets_no_other() -> None:
    async def main() -> None:
        event_loop, task, tasks = asyncio.get_running_loop(), asyncio.current_task(), asyncio.all_tasks()
        learn()
        assert asyncio.get_running_loop() is event_loop
        assert asyncio.current_task() is task
        assert asyncio.all_tasks() == tasks

    asyncio.run(main())


def test_a_callback_is_in_no_task_afterwards() -> None:
    async def main() -> Any:
        event_loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = event_loop.create_future()

        def callback() -> None:
            learn()
            done.set_result(asyncio.current_task())

        event_loop.call_soon(callback)
        return await done

    assert asyncio.run(main()) is None


def test_a_thread_without_a_loop_has_none_afterwards() -> None:
    running: list[object] = []

    def thread() -> None:
        learn()
        running.append(asyncio._get_running_loop())

    started = threading.Thread(target=thread)
    started.start()
    started.join()
    assert running == [None]


def test_no_watch_sees_the_loop_of_the_known_tasks() -> None:
    class Listener:
        def __init__(self) -> None:
            self.loops: list[object] = []

        def begin(self, loop: asyncio.AbstractEventLoop) -> None:
            self.loops.append(loop)

        def end(self, loop: asyncio.AbstractEventLoop) -> None:
            self.loops.append(loop)

    listener = Listener()
    running_loops.listen(listener)
    try:
        learn()
    finally:
        running_loops.ignore(listener)
    assert listener.loops == []


def test_what_another_program_has_put_in_the_place_of_the_native_functions_is_not_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[object] = []

    async def main() -> Any:
        return _TaskReader().read(asyncio.get_running_loop())[0]

    import _asyncio

    for name in ("_set_running_loop", "_get_running_loop", "_swap_current_task"):
        if hasattr(_asyncio, name):
            monkeypatch.setattr(_asyncio, name, lambda *arguments: called.append(arguments))
    read = asyncio.run(main())
    assert called == []
    if sys.version_info < (3, 14):
        assert read is not None  # nothing of them is needed
    else:
        assert read is None


def test_a_program_that_forbids_to_compile_is_watched_without_tasks() -> None:
    code = """
import sys

from gilscope._core import _TaskReader

def hook(event, arguments):
    if event == "compile":
        raise RuntimeError("no code is compiled here")

sys.addaudithook(hook)
try:
    _TaskReader()
except RuntimeError as error:
    print(error)
"""
    assert child.run(code).stdout.strip() == "objects cannot be read"
