"""Before stacks are read, the reader is compared with Python on known stacks. The check leaves no trace in the program."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

import pytest
from gilscope._core import stacks_unreadable

from tests.gil.test_gil import READABLE
from tests.support import child

if TYPE_CHECKING:
    from types import FrameType

    from _typeshed import TraceFunction

AVAILABLE = None if READABLE else "free-threaded"


def test_the_self_check_passes_on_every_supported_python() -> None:
    assert stacks_unreadable() == AVAILABLE


def test_the_self_check_passes_in_any_thread() -> None:
    answers: list[str | None] = []
    thread = threading.Thread(target=lambda: answers.append(stacks_unreadable()))
    thread.start()
    thread.join()
    assert answers == [AVAILABLE]


@pytest.mark.parametrize("option", ["-O", "-OO", "-Werror", "-Xdev", "-I", "-S"])
def test_the_self_check_passes_with_any_option_of_python(option: str) -> None:
    code = "import sys; sys.path[:0] = sys.argv[1:]; from gilscope._core import stacks_unreadable as s; print(s())"
    command = [sys.executable, option, "-c", code, *sys.path]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == (f"{AVAILABLE}\n", "")


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "POSIX"])
def test_the_self_check_passes_in_any_locale(locale: str) -> None:
    code = "from gilscope._core import stacks_unreadable as s; print(s())"
    environment = {"LC_ALL": locale, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert ended.stdout == f"{AVAILABLE}\n"


def test_the_self_check_leaves_nothing_behind() -> None:
    def objects() -> int:
        gc.collect()
        return len(gc.get_objects())

    for _ in range(3):
        stacks_unreadable()
    before = objects()
    for _ in range(20):
        stacks_unreadable()
    assert objects() - before < 20


def test_the_self_check_imports_no_module() -> None:
    script = """
        import sys
        from gilscope._core import stacks_unreadable

        before = set(sys.modules)
        stacks_unreadable()
        print(set(sys.modules) - before)
    """
    assert child.output(script) == ["set()"]


def test_the_self_check_passes_in_a_program_that_is_traced() -> None:
    def trace(_frame: FrameType, event: str, _: object) -> TraceFunction:
        events.add(event)
        return trace

    events: set[str] = set()
    before = sys.gettrace(), sys.getprofile()
    sys.settrace(trace)
    sys.setprofile(lambda _frame, event, _: events.add(event))
    try:
        answer = stacks_unreadable()
    finally:
        sys.setprofile(before[1])
        sys.settrace(before[0])
    assert answer == AVAILABLE
    assert not READABLE or {"call", "line", "return", "c_call"} <= events


def test_the_self_check_passes_close_to_the_limit_of_recursion() -> None:
    answers: list[str | None] = []

    def down() -> None:
        try:
            down()
        except RecursionError:
            if len(answers) < 200:
                answers.append(stacks_unreadable())
            raise

    with pytest.raises(RecursionError):
        down()
    # Where the known stacks do not fit, the reader is off; a few frames further out they do.
    assert set(answers) <= {"stack", AVAILABLE}
    assert answers[-1] == AVAILABLE


def test_the_self_check_passes_at_any_depth() -> None:
    def down(depth: int) -> str | None:
        return down(depth - 1) if depth else stacks_unreadable()

    assert [down(depth) for depth in (50, 100, 120, 130, 400)] == [AVAILABLE] * 5


def test_the_self_check_passes_in_a_generator_and_in_a_coroutine() -> None:
    async def coroutine() -> str | None:
        return stacks_unreadable()

    with pytest.raises(StopIteration) as ended:
        coroutine().send(None)
    assert ended.value.value == AVAILABLE
    assert [answer for answer in (stacks_unreadable() for _ in range(2))] == [AVAILABLE] * 2  # noqa: C416


def test_an_audit_hook_that_forbids_to_compile_turns_the_reader_off() -> None:
    script = """
        import sys
        from gilscope._core import stacks_unreadable

        def forbid(event, _):
            if event == "compile":
                raise RuntimeError(event)

        sys.addaudithook(forbid)
        print(stacks_unreadable())
    """
    assert child.output(script) == ["stack" if READABLE else "free-threaded"]


@pytest.mark.skipif(not READABLE, reason="this Python has no GIL")
def test_the_self_check_calls_no_function_that_gilscope_or_the_program_may_have_replaced() -> None:
    script = """
        import asyncio, builtins
        from gilscope._core import stacks_unreadable

        def forbidden(*_):
            raise AssertionError

        asyncio.events._set_running_loop = asyncio._set_running_loop = forbidden
        usual = dict(vars(builtins))
        for name in usual:
            if name.islower() and not name.startswith("_"):
                builtins.__dict__[name] = forbidden
        answer = stacks_unreadable()
        builtins.__dict__.update(usual)
        print(answer)
    """
    assert child.output(script) == ["None"]


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="needs the main thread")
def test_an_exception_of_a_signal_handler_is_not_lost_in_the_self_check() -> None:
    class Arrived(Exception):  # noqa: N818
        pass

    def arrive(_number: int, _frame: object) -> NoReturn:
        raise Arrived

    def send(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith("<gilscope"):
            sys.setprofile(None)
            signal.raise_signal(signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, arrive)
    try:
        sys.setprofile(send)
        if READABLE:
            with pytest.raises(Arrived):
                stacks_unreadable()
    finally:
        sys.setprofile(None)
        signal.signal(signal.SIGUSR1, before)
