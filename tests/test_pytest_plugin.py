import sys
from importlib.metadata import entry_points

import pytest

pytest_plugins = ["pytester"]

needs_gil = pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="there is no GIL to hog, yield or release"
)

HEAD = """
import ctypes, gc, sys, time
import pytest
hold = ctypes.PyDLL(None).usleep
"""


def run(pytester: pytest.Pytester, body: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(HEAD + body)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)


def test_it_costs_nothing_where_it_is_not_used(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_one():
    loaded = [name for name in sys.modules if name.startswith("gilscope.") or name == "msgspec"]
    assert sorted(loaded) == ["gilscope.pytest_loop", "gilscope.pytest_plugin"]
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
    result.stdout.no_fnmatch_line("*gilscope/assertions.py*")


@needs_gil
def test_the_marker_fails_a_test_with_a_longer_stretch_and_says_how_long(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@pytest.mark.limit_gil_hold("20ms")
def test_long():
    hold(340_000)
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
""",
    )
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        ["*the GIL was kept for 3?? ms in one stretch, and the limit is 20.0 ms*", "*assert 1 == 2*"],
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
    result.stdout.fnmatch_lines(["*in one stretch, by a garbage collection*"])


@pytest.mark.parametrize("limit", ['"5 parsecs"', '"0.1ms"', "5", '""', '"1ms", "2ms"', 'limit="5ms", other=1'])
@needs_gil
def test_a_limit_that_is_none_is_told(pytester: pytest.Pytester, limit: str) -> None:
    result = run(
        pytester,
        f"""
@pytest.mark.limit_gil_hold({limit})
def test_one():
    pass
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*limit_gil_hold takes one duration of 1 ms or more*"])


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


def test_the_marker_and_the_fixture_are_listed(pytester: pytest.Pytester) -> None:
    assert "limit_gil_hold(limit)" in run(pytester, "", "--markers").stdout.str()
    assert "assert_releases" in run(pytester, "", "--fixtures").stdout.str()


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
        "-n",
        "2",
    )
    result.assert_outcomes(passed=1, failed=1)


def test_installing_gilscope_is_enough() -> None:
    names = {plugin.name: plugin.value for plugin in entry_points(group="pytest11")}
    assert names["gilscope"] == "gilscope.pytest_plugin"
