"""The plugin's fixture and marker for event loops: a test limits the lag, and its failure names the cause."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from gilscope import Watch, assert_loop_responsive

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.usefixtures("no_other_plugins")

BLOCKING = """
    import asyncio, time
    import pytest

    def nap():
        time.sleep(1.0)  # several times as long as a busy machine stands still

    def block():
        async def main():
            await asyncio.sleep(0.02)
            nap()
        asyncio.run(main())
"""


def run(pytester: pytest.Pytester, test: str) -> pytest.RunResult:
    pytester.makepyfile(BLOCKING + test)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "gilscope")


def test_a_loop_over_the_limit_fails_the_test_with_cause_and_line(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
    @pytest.mark.limit_loop_lag("100ms")
    def test_marked():
        block()

    @pytest.mark.limit_loop_lag("100ms")
    def test_that_fails_by_itself():
        block()
        assert 1 == 2

    def test_of_the_fixture(assert_loop_responsive):
        with assert_loop_responsive(max_lag=0.1):
            block()
    """,
    )
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            *("*the event loop was late by more than 100 ms*", "*blocked, waiting at *:5 in nap*"),
            *("*test_that_fails_by_itself*", "*assert 1 == 2*"),
            *("*UnresponsiveError: the event loop was late*", "*nap*"),
        ]
    )
    result.stdout.no_fnmatch_line("*responsive.py*")
    result.stdout.no_fnmatch_line("*contextlib.py*")


def test_a_loop_within_the_limit_passes(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
    @pytest.mark.parametrize("number", [
        pytest.param(number, marks=pytest.mark.limit_loop_lag(*limit, **named))
        for number, (limit, named) in enumerate([(("30s",), {}), ((4.5,), {}), (("4.5",), {}), ((), {"limit": "30s"})])
    ])
    def test_marked(number):
        block()

    def test_of_the_fixture(assert_loop_responsive):
        with assert_loop_responsive(max_lag="30s"):
            block()
    """,
    )
    result.assert_outcomes(passed=5)


INVALID = {
    '"soon"': "limit_loop_lag: 'soon' is not a duration: write 0.05 (seconds), '50ms' or '2s'",
    "": 'limit_loop_lag takes one duration, such as limit_loop_lag("50ms")',
    "None": "limit_loop_lag: None is not a duration",
    '"100us"': "limit_loop_lag: '100us' is too short: the shortest is 1ms",
    "0": "limit_loop_lag: 0 is too short: the shortest is 1ms",
    '"50"': "limit_loop_lag: '50' without a unit is 50 seconds: write '50ms', or '50s' if you mean it",
}


def test_an_invalid_limit_fails_the_test(pytester: pytest.Pytester) -> None:
    marked = [
        f"\n    @pytest.mark.limit_loop_lag({limit})\n    def test_{number}(): pass\n"
        for number, limit in enumerate(INVALID)
    ]
    result = run(pytester, "".join(marked))
    result.assert_outcomes(failed=len(INVALID))
    result.stdout.fnmatch_lines([f"*{complaint}*" for complaint in INVALID.values()])
    result.stdout.no_fnmatch_line("*During handling of the above exception*")


def test_what_the_body_raises_comes_first() -> None:
    with pytest.raises(ZeroDivisionError), assert_loop_responsive(max_lag=0.1):
        raise ZeroDivisionError


def test_each_call_of_a_decorated_function_has_a_watch_of_its_own() -> None:
    @assert_loop_responsive(max_lag="30s")
    def countdown(number: int) -> int:
        return countdown(number - 1) + 1 if number else 0

    assert countdown(2) == 2


def test_a_decorated_coroutine_function_is_watched_while_its_body_runs() -> None:
    async def block() -> int:
        time.sleep(0.3)  # noqa: ASYNC251 - the fault that is to be seen
        await asyncio.sleep(0.02)
        return 7

    with pytest.raises(AssertionError, match="the event loop was late by more than 100 ms "):
        asyncio.run(assert_loop_responsive("100ms")(block)())
    assert asyncio.run(assert_loop_responsive("30s")(block)()) == 7


def test_arguments_of_the_wrong_type_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="max_lag: 50 without a unit is 50 seconds: write '50ms'"):
        assert_loop_responsive(50)
    text: Any = "50ms"
    number: Any = [50]
    with pytest.raises(TypeError, match=r"probe: \[50\] is not a duration"):
        Watch(probe=number)
    with pytest.raises(TypeError, match="on_stall must be a function to call with each stall, not '50ms'"):
        Watch(on_stall=text)
