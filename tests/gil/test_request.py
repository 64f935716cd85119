"""The request that a web application is answering is read from memory, rightly or not at all."""

# ruff: noqa: ARG001, ARG002 - these are the arguments of an ASGI application

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pytest
from gilscope._core import _TaskReader

from tests.gil.test_gil import READABLE

if TYPE_CHECKING:
    from collections.abc import Coroutine

pytestmark = pytest.mark.skipif(not READABLE, reason="no stack is read on a free-threaded build")

Request = str | None


def current() -> Request:
    """Return the request that the calling thread answers as a native thread reads it."""
    return _TaskReader().read(asyncio.get_running_loop())[1]


async def application(scope: Any, receive: object, send: object) -> Request:
    await asyncio.sleep(0)
    return current()


def answer(scope: Any) -> Request:
    return asyncio.run(application(scope, None, None))


def http(**changes: object) -> dict[str, object]:
    return {"type": "http", "http_version": "1.1", "method": "GET", "path": "/report", "headers": [], **changes}


def test_a_request_is_read_with_its_method_and_its_path() -> None:
    assert answer(http()) == "GET /report"


def test_a_request_without_a_method_is_read_with_its_path() -> None:
    assert answer({"type": "websocket", "path": "/live"}) == "/live"


@pytest.mark.parametrize("path", ["/é", "/中文", "/\U0001d4b3", "/with space"])
def test_a_path_of_any_text_is_read(path: str) -> None:
    assert answer(http(path=path)) == f"GET {path}"


def test_lone_surrogates_are_escaped_and_long_paths_are_cut() -> None:
    assert answer(http(path="/\udce9")) == "GET /\\udce9"
    assert answer(http(path="/" + "x" * 10_000)) == "GET /" + "x" * 199


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"type": "lifespan"},
        {"path": ""},
        {"path": b"/report"},
        {"path": None, "method": "GET"},
        OrderedDict(path="/report"),
        None,
        [("path", "/report")],
        dict.fromkeys(range(5000), "/report"),
    ],
)
def test_what_is_no_request_is_read_as_none(other: object) -> None:
    assert answer(other) is None


def test_scopes_of_every_kind_of_dictionary_are_read() -> None:
    class Attributes:
        def __init__(self) -> None:
            self.method = "GET"
            self.path = "/attributes"

    assert answer(vars(Attributes())) == "GET /attributes"
    assert answer({1: 2, **http()}) == "GET /report"
    assert answer({**{str(number): number for number in range(400)}, **http()}) == "GET /report"
    removed = {**{str(number): number for number in range(5)}, **http()}
    del removed["3"]
    assert answer(removed) == "GET /report"


def test_the_outermost_application_is_the_one_whose_request_is_read() -> None:
    async def middleware(scope: Any, receive: object, send: object) -> Request:
        return await application({**scope, "path": "/mounted"}, receive, send)

    assert asyncio.run(middleware(http(), None, None)) == "GET /report"
    assert asyncio.run(middleware(None or {}, None, None)) == "/mounted"


def test_an_application_that_is_a_method_is_read() -> None:
    class Application:
        async def __call__(self, scope: Any, receive: object, send: object) -> Request:
            return current()

    assert asyncio.run(Application()(http(), None, None)) == "GET /report"


def test_an_argument_that_an_inner_function_uses_as_well_is_read() -> None:
    async def middleware(scope: Any, receive: object, send: object) -> Request:
        def path() -> object:
            return scope["path"], receive

        path()
        return current()

    assert asyncio.run(middleware(http(), None, None)) == "GET /report"


def test_an_argument_that_is_changed_or_removed_is_read_as_it_is_now() -> None:
    async def changing(scope: Any, receive: object, send: object) -> list[Request]:
        scope["path"] = "/other"
        first = current()
        scope = {"path": "/third"}
        second = current()
        del scope
        return [first, second, current()]

    assert asyncio.run(changing(http(), None, None)) == ["GET /other", "/third", None]


def test_functions_that_only_look_like_applications_are_none() -> None:
    async def other_names(scope: Any, receive: object, reply: object) -> Request:
        return current()

    async def too_late(a: object, b: object, scope: Any, receive: object, send: object) -> Request:
        return current()

    async def around(scope: Any, receive: object, send: object) -> Coroutine[Any, Any, Request]:
        async def inside() -> Request:
            assert scope is receive is send
            return current()

        return inside()

    def not_a_coroutine_function(scope: Any, receive: object, send: object) -> Request:
        return current()

    async def main() -> list[Request]:
        return [
            await other_names(http(), None, None),
            await too_late(None, None, http(), None, None),
            await (await around(1, 1, 1)),
            not_a_coroutine_function(http(), None, None),
        ]

    assert asyncio.run(main()) == [None] * 4


def test_the_request_of_a_thread_that_waits_for_the_gil_is_read_from_another() -> None:
    waits, ended = threading.Event(), threading.Event()

    async def waiting(scope: Any, receive: object, send: object) -> None:
        waits.set()
        ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(waiting(http(), None, None)))
    thread.start()
    try:
        waits.wait()
        assert thread.native_id is not None
        event_loop = asyncio.new_event_loop()
        event_loop.close()
        assert _TaskReader().read(event_loop, thread.native_id) == (None, "GET /report")
    finally:
        ended.set()
        thread.join()


def test_no_request_is_read_with_the_method_of_one_and_the_path_of_another() -> None:
    """The loop runs all the time, and goes from one short request to the next while a native thread reads."""
    begun, ended = threading.Event(), threading.Event()
    running: list[asyncio.AbstractEventLoop] = []

    async def short(scope: Any, receive: object, send: object) -> int:
        return sum(range(500))

    async def main() -> None:
        running.append(asyncio.get_running_loop())
        begun.set()
        number = 0
        while not ended.is_set():
            number += 1
            await asyncio.create_task(short(http(method=f"M{number}", path=f"/{number}"), 1, 2), name=str(number))

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        begun.wait()
        reader = _TaskReader()
        assert thread.native_id is not None
        read: list[tuple[tuple[str, str] | None, str]] = []
        while len(read) < 500:
            reads = reader.read_often(running[0], thread.native_id, 500)
            read += [(task, request) for task, request in reads if request is not None]
    finally:
        ended.set()
        thread.join()
    for task, request in read:
        number = request.split("/")[1]
        assert request == f"M{number} /{number}"
        assert task is None or task[0] == number
