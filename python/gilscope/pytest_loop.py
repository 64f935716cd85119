"""The pytest fixture ``assert_loop_responsive`` and the marker ``limit_loop_lag``: loaded by the entry point pytest11."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager

    from gilscope.watch.api import Watch

MARKER = 'limit_loop_lag("50ms"): fail if an event loop is late by more than that while the test runs.'
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
LEAST = 0.001
"""A loop's own clock is no finer."""


@pytest.fixture
def assert_loop_responsive() -> Callable[..., AbstractContextManager[Watch]]:
    """Give the context manager ``gilscope.assert_loop_responsive(max_lag=0.05)``."""
    from gilscope.watch.responsive import assert_loop_responsive as context

    return context


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Watch the body of a marked test. What the test itself raises comes first."""
    marker = item.get_closest_marker("limit_loop_lag")
    if marker is None:
        return (yield)
    from gilscope.watch.api import Watch
    from gilscope.watch.responsive import failure

    limit = seconds(*marker.args, **marker.kwargs)
    with Watch(stall=limit) as watch:
        result = yield
    if (snapshot := watch.snapshot()).stalls:
        pytest.fail(failure(snapshot, limit), pytrace=False)
    return result


def seconds(limit: object = None) -> float:
    """Return the seconds of ``"50ms"``, ``"0.05 s"`` or ``0.05``."""
    match = re.fullmatch(r"\s*([0-9.]+)\s*(s|ms|us)?\s*", str(limit))
    try:
        duration = float(match[1]) * UNITS[match[2] or "s"] if match else 0.0
    except ValueError:
        duration = 0.0
    if duration < LEAST:
        raise pytest.UsageError(f'limit_loop_lag takes a duration of 1 ms or more, as "50ms" or 0.05, not {limit!r}')
    return duration
