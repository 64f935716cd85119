"""What a `Watch` accepts, before anything is watched, and how it is started, asked, printed and started again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gilscope import Watch
from gilscope.watch.cause import REMEDY

from tests.support.watched import stall


async def asynchronous(_: object) -> None: ...


class AsynchronousObject:
    async def __call__(self, _: object) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "error", "complaint"),
    [
        ({"stall": 50}, ValueError, "stall: 50 without a unit is 50 seconds: write '50ms'"),
        ({"stall": "soon"}, ValueError, "stall: 'soon' is not a duration"),
        ({"probe": None}, TypeError, "probe: None is not a duration"),
        ({"sample": 0}, ValueError, "sample: 0 is too short"),
        ({"on_stall": 3}, TypeError, "on_stall must be a function to call with each stall, not 3"),
        ({"on_stall": asynchronous}, TypeError, "not the coroutine function .*run_coroutine_threadsafe"),
        ({"on_stall": AsynchronousObject()}, TypeError, "not the coroutine function"),
    ],
)
def test_a_wrong_argument_is_refused_when_the_watch_is_made(
    arguments: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        Watch(**arguments)


def test_a_watch_is_asked_before_its_start_started_again_and_printed() -> None:
    watch = Watch(stall="60ms")
    assert (watch.stall, str(watch)) == (0.06, "gilscope watch: not started")
    assert (watch.snapshot().elapsed, watch.holds(), watch.lags()) == (0, [], [])
    runs = []
    for _ in range(2):
        with watch:
            asyncio.run(asyncio.sleep(0))
        runs.append(watch.snapshot().loop_runs)
    assert runs[0] == runs[1] != 0
    assert str(watch).startswith("gilscope watch: 0.")
    assert "over 60.0 ms" in str(watch) or "whether a loop stalls is unknown" in str(watch)


def test_a_stall_says_what_to_do_about_it() -> None:
    assert stall("blocked, waiting", 0.0, 0.1).remedy == REMEDY["blocked, waiting"]
