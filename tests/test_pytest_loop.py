"""A test says how late its event loop may be, and its failure says why it was later."""

from __future__ import annotations

import pytest
from gilscope import assert_loop_responsive
from gilscope.pytest_loop import seconds

pytest_plugins = ["pytester"]

BLOCKING = """
    import asyncio, time
    import pytest

    def nap():
        time.sleep(0.3)

    def block():
        async def main():
            await asyncio.sleep(0.02)
            nap()
        asyncio.run(main())
"""


def run(pytester: pytest.Pytester, test: str) -> pytest.RunResult:
    pytester.makepyfile(BLOCKING + test)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider")


def test_a_loop_over_the_markers_limit_fails_the_test_with_cause_and_line(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
    @pytest.mark.limit_loop_lag("100ms")
    def test_it():
        block()
    """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the event loop was late by more than 100 ms*", "*blocked, waiting at *:5 in nap*"])


def test_a_loop_within_the_markers_limit_passes(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
    @pytest.mark.limit_loop_lag("30s")
    def test_it():
        block()
    """,
    )
    result.assert_outcomes(passed=1)


def test_a_marked_test_that_fails_by_itself_fails_as_it_would(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
    @pytest.mark.limit_loop_lag("100ms")
    def test_it():
        block()
        assert 1 == 2
    """,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert 1 == 2*"])


def test_the_fixture_gives_the_context(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
    def test_bad(assert_loop_responsive):
        with assert_loop_responsive(max_lag=0.1):
            block()

    def test_good(assert_loop_responsive):
        with assert_loop_responsive(max_lag=30):
            block()
    """,
    )
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["*UnresponsiveError: the event loop was late*", "*nap*"])


def test_a_limit_that_is_none_is_a_usage_error(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
    @pytest.mark.limit_loop_lag("soon")
    def test_it():
        pass
    """,
    )
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*limit_loop_lag takes a duration of 1 ms or more*"])


@pytest.mark.parametrize(("text", "expected"), [("50ms", 0.05), ("0.05 s", 0.05), (0.05, 0.05), ("2s", 2.0)])
def test_a_limit_is_a_number_with_a_unit_or_seconds(text: object, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", [None, "", "-5ms", "1.2.3s", "0", "nan", "100us"])
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(pytest.UsageError, match="limit_loop_lag takes"):
        seconds(text)


def test_what_the_body_raises_comes_first() -> None:
    with pytest.raises(ZeroDivisionError), assert_loop_responsive(max_lag=0.1):
        raise ZeroDivisionError
