"""pytest: the fixtures ``gil`` and ``assert_loop_responsive``, the markers ``limit_gil_hold`` and ``limit_loop_lag``.

gilscope is imported only when a test uses one of the four: the plugin itself costs nothing.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from gilscope.checks.limit import Over
    from gilscope.records.verdict import Verdict
    from gilscope.watch.api import Watch

MARKERS = (
    (
        'limit_gil_hold(limit): fail the test if a thread holds the GIL without a break for longer than limit, such as "5ms", '
        "while the test itself runs (its fixtures are not measured). Of several markers the lowest limit counts."
    ),
    (
        'limit_loop_lag(limit): fail the test if an event loop is late by more than limit, such as "50ms" or 0.05 (seconds), '
        "while the test itself runs (its fixtures are not measured). Of several markers the closest to the test counts."
    ),
)
STDERR = pytest.StashKey[int]()
"""The file descriptor of the terminal's stderr, for the last words of a process that is stuck."""
MIN_LIMIT_SECONDS = 0.001
"""Neither measurement is finer: code that yields is asked for the GIL every 0.1 ms, and a loop's clock counts in ms."""


class Gil:
    """The functions of gilscope that take a callable: what the fixture ``gil`` returns.

    A call that holds the GIL and waits for ever ends the process, with a sentence that names the test.
    """

    def __init__(self, stderr: int, test: str) -> None:
        self._stderr = stderr
        self._test = test

    def _ended_if_stuck(self) -> AbstractContextManager[None]:
        from gilscope.checks.stuck import ending_the_process

        return ending_the_process(self._stderr, self._test)

    def check(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Verdict:
        """Return the verdict of ``gilscope.check``."""
        from gilscope.checks.api import check

        with self._ended_if_stuck():
            return check(fn, *args, **kwargs)

    def assert_releases(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Verdict:
        """Fail unless ``fn(*args, **kwargs)`` releases the GIL; the failure shows the evidence and a remedy."""
        __tracebackhide__ = True
        from gilscope.checks.assertions import assert_releases

        with self._ended_if_stuck():
            return assert_releases(fn, *args, **kwargs)

    def assert_yields(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Verdict:
        """Fail unless ``fn(*args, **kwargs)`` yields the GIL; the failure shows the evidence and a remedy."""
        __tracebackhide__ = True
        from gilscope.checks.assertions import assert_yields

        with self._ended_if_stuck():
            return assert_yields(fn, *args, **kwargs)


@pytest.fixture
def gil(request: pytest.FixtureRequest) -> Gil:
    """Check a callable: ``gil.check(fn)``, ``gil.assert_releases(fn)``, ``gil.assert_yields(fn)``."""
    return Gil(request.config.stash[STDERR], request.node.nodeid)


@pytest.fixture
def assert_loop_responsive() -> Callable[..., AbstractContextManager[Watch]]:
    """Return the context manager ``gilscope.assert_loop_responsive(max_lag=0.05)``."""
    from gilscope.watch.responsive import assert_loop_responsive as context

    return context


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    config.stash[STDERR] = os.dup(2)  # pytest does not capture it yet
    config.add_cleanup(lambda: os.close(config.stash[STDERR]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Measure the body of a marked test. An exception of the test itself comes first."""
    # The hold is measured inside: importing and starting the watch would be a hold of its own.
    with _loop_lag_limited(item), _gil_hold_limited(item):
        return (yield)


@contextmanager
def _gil_hold_limited(item: pytest.Item) -> Iterator[None]:
    limits = [_limit(marker, unit_required=True) for marker in item.iter_markers("limit_gil_hold")]
    if not limits or not getattr(sys, "_is_gil_enabled", lambda: True)():
        yield
        return
    from gilscope.checks.limit import holds

    limit = min(limits)
    with holds(limit, as_it_is=item.get_closest_marker("limit_loop_lag") is not None) as found:
        yield
    if not found.judged:
        item.warn(
            pytest.PytestWarning(
                f"limit_gil_hold cannot judge {item.name}: the system does not report how long threads wait for a CPU"
            )
        )
    elif (over := found.over(limit)) is not None:
        _fail_hold(over, limit, test=str(item.path))


@contextmanager
def _loop_lag_limited(item: pytest.Item) -> Iterator[None]:
    marker = item.get_closest_marker("limit_loop_lag")
    if marker is None:
        yield
        return
    limit = _limit(marker)
    from gilscope.watch.api import Watch
    from gilscope.watch.responsive import failure

    with Watch(stall=f"{limit}s") as watch:
        yield
    if message := failure(watch.snapshot(), limit, test=str(item.path)):
        pytest.fail(message, pytrace=False)


def _fail_hold(over: Over, limit: float, *, test: str) -> None:
    from gilscope.formatting import duration
    from gilscope.records.remedies import REMEDY
    from gilscope.watch.responsive import places

    longest = duration(over.longest)
    if over.brief:
        said = (
            f"a thread waited {longest} for the GIL, which was released again and again, but too briefly for another thread to "
            "acquire it"
        )
    else:
        why = " by a garbage collection" if over.collecting else ""
        said = f"the GIL was held for {longest} without a break{why}"
    said += f"; the limit is {duration(limit)}. An event loop in this process stalls that long."
    if over.thread or over.stack:
        where = places(over.stack, test=test) or " by a call that had returned when this was seen"
        said += f"\n  held{where} (thread {over.thread or 'unnamed'})"
    pytest.fail(f"{said}\n  -> {REMEDY['brief releases' if over.brief else 'hogs']}", pytrace=False)


def _limit(marker: pytest.Mark, *, unit_required: bool = False) -> float:
    """Return the seconds that ``marker`` was given; fail the test if it was given anything else."""
    from gilscope.durations import parse_threshold

    given = [*marker.args, *marker.kwargs.values()]
    if len(given) != 1 or set(marker.kwargs) - {"limit"}:
        pytest.fail(f'{marker.name} takes one duration, such as {marker.name}("50ms")', pytrace=False)
    wrong = ""
    try:
        seconds = parse_threshold(given[0], least=MIN_LIMIT_SECONDS, unit_required=unit_required)
    except (TypeError, ValueError) as error:
        wrong = str(error)
    if wrong:  # out of the except clause: pytest would print the first error too
        pytest.fail(f"{marker.name}: {wrong}", pytrace=False)
    return seconds
