"""Python stacks are read without the GIL, and no wrong frame is shown as a fact."""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from gilscope._core import _StackReader

from tests.gil.test_gil import READABLE
from tests.support import child
from tests.support.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(not READABLE, reason="this Python has no GIL")

READ = ctypes.PyDLL(None).read
"""A function of the C library that runs with the GIL held."""
BUFFER = ctypes.create_string_buffer(1)


@pytest.fixture(scope="module")
def reader() -> _StackReader:
    return _StackReader()


def test_all_kinds_of_call_are_read_as_python_has_them() -> None:
    assert len(KINDS) >= 71
    script = """
        import json, sys
        from gilscope._core import _StackReader
        from tests.support.compared_stacks import compare

        compared = compare(_StackReader(), seed=1, stacks=300)
        assert min(compared.stacks["proved"], compared.stacks["twice"]) > 50, compared.stacks
        print(json.dumps(compared.differences))
    """
    assert json.loads(child.output(script)[-1]) == []


def test_no_impossible_stack_is_read_of_threads_that_run() -> None:
    script = """
        import json
        from gilscope._core import _StackReader
        from tests.support.running.stress import read, running

        reader = _StackReader()
        with running():
            counts, wrong = read(reader, 10_000)
        assert counts["proved"] + counts["twice"] > 1000, counts
        print(json.dumps(wrong))
    """
    assert json.loads(child.output(script)[-1]) == {}


def hold(fd: int) -> object:
    return READ(fd, BUFFER, 1)


class Slow:
    """An object whose comparison holds the GIL."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __lt__(self, _: object) -> bool:
        hold(self.fd)
        return True


def sort(fd: int) -> None:
    sorted([Slow(fd), Slow(fd)])


def substitute(fd: int) -> None:
    re.sub("a", lambda _: str(hold(fd)), "a")


@pytest.mark.parametrize(
    ("holding", "functions"),
    [
        (hold, ["hold"]),
        (sort, ["hold", "Slow.__lt__", "sort"]),
        (substitute, ["hold", "substitute.<locals>.<lambda>", "sub", "substitute"]),
    ],
)
def test_a_call_of_c_code_that_holds_the_gil_is_read_while_it_holds_the_gil(
    reader: _StackReader, holding: Callable[[int], None], functions: list[str]
) -> None:
    # The thread can only go on once its stack has been read.
    reads, writes = os.pipe()
    try:
        reader.release_after(threading.get_native_id(), "hold", 20, writes)
        holding(reads)
    finally:
        os.close(reads)
        os.close(writes)
    line = hold.__code__.co_firstlineno + 1
    rows = reader.released()
    assert len(rows) == 20
    for certainty, frames, left_out in rows:
        assert certainty in {"proved", "twice"}, certainty
        assert left_out == 0
        assert frames[0][:3] == (__file__, "hold", line)
        assert [function for _, function, *_ in frames[: len(functions)]] == functions


@pytest.mark.parametrize("depth", [127, 128, 129, 5_000, 20_000])
def test_of_a_deep_stack_both_ends_are_kept_and_the_rest_is_counted(reader: _StackReader, depth: int) -> None:
    def down(left: int) -> None:
        if left:
            down(left - 1)
        else:
            found.extend(reader.read([threading.get_native_id()]))

    found: list[tuple[str, list[tuple[str, str, int | None, int, int]], int]] = []
    name = down.__qualname__
    before = sys.getrecursionlimit(), threading.stack_size(512 << 20)
    sys.setrecursionlimit(depth + 100)
    try:
        thread = threading.Thread(target=down, args=(depth,))
        thread.start()
        thread.join()
    finally:
        sys.setrecursionlimit(before[0])
        threading.stack_size(before[1])
    ((certainty, frames, left_out),) = found
    functions = [function for _, function, *_ in frames]
    below = ["Thread.run", "Thread._bootstrap_inner", "Thread._bootstrap"]
    assert certainty == "twice"
    assert functions == [name] * (128 - len(below)) + below
    assert left_out == depth + 1 + len(below) - 128


def test_a_thread_that_has_ended_has_no_stack(reader: _StackReader) -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    assert thread.native_id is not None
    assert reader.read([thread.native_id]) == [("no thread", [], 0)]


def test_all_threads_are_listed(reader: _StackReader) -> None:
    done = threading.Event()
    threads = [threading.Thread(target=done.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    listed = set(reader.threads())
    done.set()
    for thread in threads:
        thread.join()
    assert {(thread.ident, thread.native_id) for thread in [*threads, threading.current_thread()]} <= listed


def test_a_code_object_at_the_address_of_another_one_is_read_anew(reader: _StackReader) -> None:
    # As close together as the allocator puts them: of the same shape, each freed before the next is made.
    own, read, codes = threading.get_native_id(), [], set()
    for number in range(300):
        names: dict[str, Callable[[Callable[[], object]], object]] = {}
        exec(compile(f"def f{number:03}(call): return call()", f"/srv/{number:03}.py", "exec"), names)  # noqa: S102
        function = names.pop(f"f{number:03}")
        codes.add(id(function.__code__))
        names.clear()
        function(lambda: read.extend(reader.read([own])))
        del function
    shown = [[frame[:2] for frame in frames if frame[0].startswith("/srv/")] for _, frames, _ in read]
    assert shown == [[(f"/srv/{number:03}.py", f"f{number:03}")] for number in range(300)]
    assert len(codes) < 300  # some were at the same address


def test_a_child_after_fork_reads_its_own_memory() -> None:
    script = """
        import os, threading
        from gilscope import _core
        from gilscope._core import _StackReader

        reader = _StackReader()

        def named(name):
            names = {}
            exec(f"def {name}(call): return call()", names)
            return names[name](lambda: reader.read([threading.get_native_id()]))

        def show(name):
            ((_, frames, _),) = named(name)
            print(frames[1][1], _core.stacks_unreadable(), flush=True)

        show("parent")
        pid = os.fork()
        if pid == 0:
            show("child")
            os._exit(0)
        os.waitpid(pid, 0)
        show("again")
    """
    lines = child.output(script)
    assert lines == [f"{name} None" for name in ("parent", "child", "again")]
