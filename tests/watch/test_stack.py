"""Which frame of a stack is the user's, and which frames are the callback's."""

from __future__ import annotations

import concurrent.futures.thread
import json
import selectors
import threading

import pytest
from gilscope.records.stall import Frame
from gilscope.watch import loops
from gilscope.watch.stack import (
    ASYNCIO,
    FUTURES,
    HANDLE,
    LOOP,
    MAKES_CALLS,
    RUNNERS,
    before_return,
    callback,
    callback_frames,
    culprit,
    starts_thread,
)

USERS = Frame("app/server.py", 10, "handle")
OUTER = Frame("app/server.py", 20, "main")
LIBRARY = Frame(json.decoder.__file__, 353, "JSONDecoder.raw_decode")
INSTALLED = Frame("/venv/lib/site-packages/orjson.py", 3, "loads")
GENERATED = Frame("<string>", 2, "__create_fn__.<locals>.__init__")
RUN = Frame(HANDLE, 80, "Handle._run")
ONCE = Frame(LOOP, 1922, "BaseEventLoop._run_once")
SELECT = Frame(selectors.__file__, 468, "EpollSelector.select")
OURS = Frame(loops.__file__, 1, "WatchedLoops.start")
RUNNER = Frame(RUNNERS, 118, "Runner.run")
SUBMIT = Frame(concurrent.futures.thread.__file__, 170, "ThreadPoolExecutor.submit")


@pytest.mark.parametrize(
    "stack",
    [
        (LIBRARY, INSTALLED, USERS, Frame("app/main.py", 1, "main")),
        (GENERATED, USERS),
        (Frame("/usr/lib/python3/dist-packages/requests.py", 3, "get"), USERS),
    ],
)
def test_the_culprit_is_the_innermost_line_outside_of_libraries(stack: tuple[Frame, ...]) -> None:
    assert culprit(stack) == USERS


def test_without_a_line_of_the_users_the_culprit_is_in_an_installed_package() -> None:
    assert culprit([LIBRARY, INSTALLED]) == INSTALLED
    assert culprit([LIBRARY, GENERATED]) == LIBRARY


def test_gilscope_is_never_the_culprit() -> None:
    assert culprit([OURS]) is None


def test_the_callback_is_what_handle_run_calls() -> None:
    frames = [LIBRARY, USERS, OUTER, RUN, ONCE, OURS]
    assert callback_frames(frames) == (LIBRARY, USERS, OUTER)
    assert callback(callback_frames(frames)) == OUTER


def test_a_native_callback_stands_where_asyncio_calls_it() -> None:
    assert callback_frames([RUN, ONCE, OURS]) == (RUN,)


@pytest.mark.parametrize(
    "between",
    [
        [Frame(LOOP, 460, "BaseEventLoop.create_task")],  # an eager task
        [SUBMIT, Frame(LOOP, 830, "BaseEventLoop.run_in_executor")],
        [Frame(LOOP, 1700, "BaseEventLoop.subprocess_exec")],
        [Frame(LOOP, 1800, "BaseEventLoop.call_exception_handler")],
        [Frame(LOOP, 1800, "BaseEventLoop.call_exception_handler"), Frame(HANDLE, 90, "Handle._run")],
    ],
)
def test_asyncios_own_frames_above_the_callback_do_not_cut_it_off(between: list[Frame]) -> None:
    frames = [USERS, *between, RUN, ONCE, OURS]
    assert culprit(callback_frames(frames)) == USERS


@pytest.mark.parametrize(
    "namesake",
    [
        Frame("app/jobs.py", 5, "Runner.run"),
        Frame("app/jobs.py", 5, "Handle._run"),
        Frame("app/jobs.py", 5, "BaseEventLoop._run_once"),
        Frame("app/jobs.py", 5, "BaseEventLoop.run_forever"),
        Frame("/venv/lib/site-packages/asyncio/runners.py", 5, "Runner.run"),
    ],
)
def test_functions_of_the_users_with_asyncios_names_are_the_users(namesake: Frame) -> None:
    assert callback_frames([LIBRARY, namesake, USERS, RUN, ONCE]) == (LIBRARY, namesake, USERS)


def test_a_loop_that_polls_is_running_no_callback() -> None:
    assert callback_frames([SELECT, ONCE, OURS]) == ()
    assert callback_frames([ONCE, OURS]) == ()
    assert callback_frames([Frame(f"{ASYNCIO}/selector_events.py", 740, "_process_events"), ONCE, OURS]) == ()
    assert callback(()) is None


def test_a_signal_handler_runs_on_top_of_the_selector() -> None:
    assert callback_frames([LIBRARY, USERS, SELECT, ONCE, OURS]) == (LIBRARY, USERS)
    assert callback_frames([USERS, ONCE, OURS]) == (USERS,)


def test_the_callback_of_a_native_loop_is_called_by_what_runs_the_loop() -> None:
    assert callback_frames([USERS, RUNNER]) == (USERS,)
    assert callback_frames([RUNNER]) == ()
    assert callback_frames([USERS, OUTER], above=1) == (USERS,)
    assert callback_frames([OUTER], above=0) == ()


def test_a_stack_that_the_program_has_switched_to_is_the_callbacks() -> None:
    assert callback_frames([LIBRARY, USERS], above=2) == (LIBRARY, USERS)
    assert callback_frames([LIBRARY, USERS]) == ()
    assert callback_frames([SELECT, ONCE, OURS], above=3) == ()


def test_a_call_that_has_returned_is_shown_and_not_what_passes_its_result_on() -> None:
    passing_on = Frame(FUTURES, 560, "Future.set_result")
    wakes = Frame(f"{ASYNCIO}/selector_events.py", 139, "BaseSelectorEventLoop._write_to_self")
    makes_calls = Frame(MAKES_CALLS[0], 58, MAKES_CALLS[1])
    assert before_return([wakes, passing_on, USERS, makes_calls]) == (USERS, makes_calls)
    assert before_return([wakes, passing_on, makes_calls]) == ()  # it is unknown what was called
    assert before_return([wakes, passing_on, USERS]) == ()
    worker = Frame(MAKES_CALLS[0], 81, "_worker")
    assert before_return([worker]) == ()
    assert before_return([USERS, makes_calls, worker]) == (USERS, makes_calls, worker)
    done_callback = (LIBRARY, USERS, passing_on, OUTER, makes_calls)
    assert before_return(done_callback) == done_callback
    assert before_return([LIBRARY, USERS]) == (LIBRARY, USERS)


def test_a_thread_waits_for_the_thread_that_it_starts() -> None:
    waits, start = (Frame(threading.__file__, 1, name) for name in ("Condition.wait", "Thread.start"))
    assert starts_thread([waits, start, SUBMIT])
    assert not starts_thread([waits, SUBMIT])
    assert not starts_thread([USERS, start])
