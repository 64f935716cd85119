import sys
from importlib.metadata import entry_points

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.usefixtures("no_other_plugins")

needs_gil = pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="there is no GIL to hog, yield or release"
)

HEAD = """
import ctypes, gc, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import pytest
hold = ctypes.PyDLL(None).usleep
"""


def run(pytester: pytest.Pytester, body: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(HEAD + body)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "gilscope", *arguments)


def test_it_costs_nothing_where_it_is_not_used(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_one():
    loaded = [name for name in sys.modules if name.startswith("gilscope.") or name == "msgspec"]
    assert sorted(loaded) == ["gilscope.pytest_plugin"]
""",
    )
    result.assert_outcomes(passed=1)


@needs_gil
def test_the_fixture_checks_and_asserts(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_check(gil):
    assert gil.check(hold, 20_000).kind == "hogs"
def test_releases(gil):
    gil.assert_releases(time.sleep, 0.01)
def test_yields(gil):
    def spin():
        n = 200_000
        while n:
            n -= 1
    gil.assert_yields(spin, time=1.0)
""",
    )
    result.assert_outcomes(passed=3)


@needs_gil
def test_a_failure_shows_the_evidence_and_the_remedy_and_none_of_our_frames(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_releases(gil):
    gil.assert_releases(hold, 20_000)
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*usleep was expected to release the GIL, but it hogs.", "*Py_BEGIN_ALLOW_THREADS*", "*longest hold*"]
    )
    result.stdout.no_fnmatch_line("*checks/assertions.py*")


@needs_gil
def test_the_marker_fails_a_test_with_a_longer_stretch_and_says_how_long(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def helper():
    for _ in range(3):  # a sample that began before the thread had the GIL does not show who held it
        hold(320_000)
@pytest.mark.limit_gil_hold("20ms")
def test_long():
    helper()
@pytest.mark.limit_gil_hold("200ms")
def test_short():
    hold(10_000)
@pytest.mark.limit_gil_hold("20ms")
def test_yielding():
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        pass
@pytest.mark.limit_gil_hold("20ms")
def test_failing():
    assert 1 == 2
@pytest.mark.limit_gil_hold("20ms")
def test_released_too_briefly():
    for _ in range(800):
        hold(500)
        ctypes.CDLL(None).getppid()
@pytest.mark.limit_gil_hold("30ms")
def test_threads_that_take_turns():
    with ThreadPoolExecutor(4) as pool:
        for _ in range(40):
            pool.submit(hold, 10_000)
@pytest.mark.limit_gil_hold("20ms")
def test_another_thread():
    thread = threading.Thread(target=helper, name="hoarder")
    thread.start()
    thread.join()
""",
    )
    result.assert_outcomes(passed=3, failed=4)
    result.stdout.fnmatch_lines(
        [
            "*the GIL was held for ??? ms without a break; the limit is 20.0 ms*",
            "  held at *.py:? in helper, called from *.py:?? in test_long (thread MainThread)",
            "*assert 1 == 2*",
            "*for the GIL, which was released again and again, but too briefly for another thread to acquire it*",
            "  held * (thread MainThread)",  # at its line, or after it: the last release is the end of the test
            "  held at *.py:? in helper (thread hoarder)",
        ],
    )


@needs_gil
def test_of_several_markers_the_least_limit_counts_and_fixtures_are_not_watched(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
pytestmark = pytest.mark.limit_gil_hold("20ms")
@pytest.fixture
def held():
    hold(300_000)
@pytest.mark.limit_gil_hold("2s")
def test_long():
    hold(300_000)
def test_fixture(held):
    pass
""",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*the limit is 20.0 ms*"])


@needs_gil
def test_the_marker_names_a_garbage_collection(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@pytest.mark.limit_gil_hold("2ms")
def test_collecting():
    kept = [[n] for n in range(1_000_000)]
    for _ in range(3):
        gc.collect()
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*without a break by a garbage collection*"])


INVALID = {
    '"5 parsecs"': "limit_gil_hold: '5 parsecs' is not a duration: write '50ms', '0.05 s' or '200us'",
    "5": "limit_gil_hold: 5 is not a duration: write '50ms'",
    '""': "limit_gil_hold: '' is not a duration",
    '"0.1ms"': "limit_gil_hold: '0.1ms' is too short: the shortest is 1ms",
    '"1ms", "2ms"': 'limit_gil_hold takes one duration, such as limit_gil_hold("50ms")',
    'limit="5ms", other=1': "limit_gil_hold takes one duration",
}


@needs_gil
def test_an_invalid_limit_fails_the_test(pytester: pytest.Pytester) -> None:
    marked = [
        f"@pytest.mark.limit_gil_hold({limit})\ndef test_{number}(): pass\n" for number, limit in enumerate(INVALID)
    ]
    result = run(pytester, "".join(marked))
    result.assert_outcomes(failed=len(INVALID))
    result.stdout.fnmatch_lines([f"*{complaint}*" for complaint in INVALID.values()])


@needs_gil
def test_where_preemption_is_not_known_it_says_that_it_cannot_judge(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
from gilscope.checks import limit as holds
@pytest.fixture(autouse=True)
def elsewhere(monkeypatch):
    real = holds.Knocker
    monkeypatch.setattr(holds, "Knocker", lambda **settings: real(**{**settings, "watched": None}))
@pytest.mark.limit_gil_hold("5ms")
def test_one():
    hold(100_000)
""",
    )
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*limit_gil_hold cannot judge test_one*"])


def test_the_markers_and_the_fixtures_are_listed(pytester: pytest.Pytester) -> None:
    markers = run(pytester, "", "--markers").stdout.str()
    assert "limit_gil_hold(limit)" in markers
    assert "limit_loop_lag(limit)" in markers
    fixtures = run(pytester, "", "--fixtures").stdout.str()
    assert "assert_releases" in fixtures
    assert "assert_loop_responsive" in fixtures


@needs_gil
def test_a_test_may_have_both_markers(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import asyncio
@pytest.mark.limit_gil_hold("20ms")
@pytest.mark.limit_loop_lag("30s")
def test_long_hold():
    hold(300_000)
@pytest.mark.limit_gil_hold("2s")
@pytest.mark.limit_loop_lag("100ms")
def test_long_lag():
    async def main():
        await asyncio.sleep(0.02)
        time.sleep(0.3)
    asyncio.run(main())
@pytest.mark.limit_gil_hold("2s")
@pytest.mark.limit_loop_lag("30s")
def test_within_both():
    time.sleep(0.05)
@pytest.mark.limit_gil_hold("5s")
@pytest.mark.limit_loop_lag("30s")
def test_the_switch_interval_is_the_programs():
    assert {sys.getswitchinterval() for _ in range(20) if time.sleep(0.01) is None} == {0.005}
""",
    )
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["*the limit is 20.0 ms*", "*the event loop was late by more than 100 ms*"])


@needs_gil
def test_it_works_under_xdist(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    result = run(
        pytester,
        """
@pytest.mark.limit_gil_hold("20ms")
def test_long():
    hold(300_000)
def test_releases(gil):
    gil.assert_releases(time.sleep, 0.01)
""",
        "-p",
        "xdist",
        "-n",
        "2",
    )
    result.assert_outcomes(passed=1, failed=1)


def test_installing_gilscope_is_enough() -> None:
    ours = [plugin.value for plugin in entry_points(group="pytest11") if plugin.value.startswith("gilscope.")]
    assert ours == ["gilscope.pytest_plugin"]


@needs_gil
def test_a_call_that_waits_for_ever_with_the_gil_held_ends_the_process_and_names_the_test(
    pytester: pytest.Pytester,
) -> None:
    result = run(
        pytester,
        """
import gilscope.checks.stuck
def test_deadlock(gil, monkeypatch):
    monkeypatch.setattr(gilscope.checks.stuck, "AFTER_SECONDS", 1.0)
    gil.check(ctypes.PyDLL(None).sleep, 1000)
""",
    )
    assert result.ret == 1
    result.stderr.fnmatch_lines(["*::test_deadlock: a call has held the GIL for 1 s, and neither computed nor ended*"])
