"""Which frame of a stack is the user's, and which frames are the callback's."""

from __future__ import annotations

import json
import selectors

from gilscope.records.stall import Frame
from gilscope.watch import loops
from gilscope.watch.stack import HANDLES, callback, callback_frames, culprit

USERS = Frame("app/server.py", 10, "handle")
LIBRARY = Frame(json.decoder.__file__, 353, "JSONDecoder.raw_decode")
INSTALLED = Frame("/venv/lib/site-packages/orjson.py", 3, "loads")
RUN = Frame(HANDLES, 80, "Handle._run")
ONCE = Frame("asyncio/base_events.py", 1922, "BaseEventLoop._run_once")
OURS = Frame(loops.__file__, 1, "_wrap.<locals>.run_forever")


def test_the_culprit_is_the_innermost_line_outside_of_libraries() -> None:
    assert culprit([LIBRARY, INSTALLED, USERS, Frame("app/main.py", 1, "main")]) == USERS


def test_without_a_line_of_the_users_the_culprit_is_the_librarys() -> None:
    assert culprit([LIBRARY, INSTALLED]) == LIBRARY


def test_gilscope_is_never_the_culprit() -> None:
    assert culprit([OURS]) is None


def test_the_callback_is_what_handle_run_calls() -> None:
    frames = [LIBRARY, USERS, RUN, ONCE, OURS]
    assert callback_frames(frames) == (LIBRARY, USERS)
    assert callback(frames) == USERS


def test_a_loop_that_polls_is_running_no_callback() -> None:
    frames = [Frame(selectors.__file__, 468, "EpollSelector.select"), ONCE, OURS]
    assert callback_frames(frames) == ()
    assert callback(frames) is None


def test_the_callback_of_a_native_loop_is_called_by_our_wrapper() -> None:
    assert callback_frames([USERS, OURS, Frame("asyncio/runners.py", 118, "Runner.run")]) == (USERS,)
    assert callback_frames([OURS, Frame("asyncio/runners.py", 118, "Runner.run")]) == ()
