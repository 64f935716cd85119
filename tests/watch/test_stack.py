"""Which line is the user's."""

from __future__ import annotations

import json

from gilscope.records.stall import Frame
from gilscope.watch import loops as heartbeat
from gilscope.watch import stack as frames

USERS = Frame("app/server.py", 10, "handle")
LIBRARY = Frame(json.decoder.__file__, 353, "JSONDecoder.raw_decode")
INSTALLED = Frame("/venv/lib/site-packages/orjson.py", 3, "loads")
RUN = Frame(frames.HANDLES, 80, "Handle._run")
ONCE = Frame("asyncio/base_events.py", 1922, "BaseEventLoop._run_once")
OURS = Frame(heartbeat.__file__, 1, "_wrap.<locals>.run_forever")


def test_the_culprit_is_the_innermost_line_outside_of_libraries() -> None:
    assert frames.culprit([LIBRARY, INSTALLED, USERS, Frame("app/main.py", 1, "main")]) == USERS


def test_without_a_line_of_the_users_the_culprit_is_the_librarys() -> None:
    assert frames.culprit([LIBRARY, INSTALLED]) == LIBRARY


def test_gilscope_is_never_the_culprit() -> None:
    assert frames.culprit([OURS]) is None


def test_a_callback_is_what_asyncio_runs() -> None:
    stack = [LIBRARY, USERS, RUN, ONCE, OURS]
    assert frames.within(stack) == (LIBRARY, USERS)
    assert frames.callback(stack) == USERS


def test_a_loop_that_polls_is_in_no_callback() -> None:
    stack = [Frame(frames.SELECTORS, 468, "EpollSelector.select"), ONCE, OURS]
    assert frames.within(stack) == ()
    assert frames.callback(stack) is None


def test_a_native_loops_callback_stands_right_under_our_wrapper() -> None:
    assert frames.within([USERS, OURS, Frame("asyncio/runners.py", 118, "Runner.run")]) == (USERS,)
    assert frames.within([OURS, Frame("asyncio/runners.py", 118, "Runner.run")]) == ()
