"""pytest: the fixture ``gil`` and the marker ``limit_gil_hold``. Nothing of gilscope is imported before one is used."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilscope.records.verdict import Verdict

MARKER = (
    'limit_gil_hold(limit): fail the test if the GIL is kept in one stretch for longer than limit, as "5ms", while the test '
    "itself runs (not its fixtures); of several markers the least limit counts"
)
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
LEAST = 0.001
"""A limit under this (seconds) would be met by code that yields: it is asked every 0.1 ms, and not at once there."""


class Gil:
    """What the fixture ``gil`` is: gilscope's functions that take a callable."""

    def check(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Verdict:
        """Return :func:`gilscope.check`'s verdict."""
        from gilscope.checks.api import check

        return check(fn, *args, **kwargs)

    def assert_releases(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Verdict:
        """Fail unless ``fn(*args, **kwargs)`` releases the GIL; the failure's text is the evidence and the remedy."""
        __tracebackhide__ = True
        from gilscope.checks.assertions import assert_releases

        return assert_releases(fn, *args, **kwargs)

    def assert_yields(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Verdict:
        """Fail unless ``fn(*args, **kwargs)`` yields the GIL; the failure's text is the evidence and the remedy."""
        __tracebackhide__ = True
        from gilscope.checks.assertions import assert_yields

        return assert_yields(fn, *args, **kwargs)


@pytest.fixture
def gil() -> Gil:
    """Whether a callable hogs, yields or releases the GIL: ``gil.check``, ``gil.assert_releases``, ``gil.assert_yields``."""
    return Gil()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    markers = list(item.iter_markers("limit_gil_hold"))
    if not markers or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return (yield)
    limit = min(map(_limit, markers))
    from gilscope.checks.limit import holds

    with holds() as found:
        result = yield
    if not found.judged:
        item.warn(
            pytest.PytestWarning(
                f"limit_gil_hold cannot judge {item.name}: {sys.platform} does not tell what was the system's doing"
            )
        )
        return result
    if (over := found.over(limit)) is not None:
        _fail(*over, limit)
    return result


def _fail(longest: float, collecting: bool, limit: float) -> None:
    from gilscope.formatting import duration
    from gilscope.records.verdict import REMEDY

    why = ", by a garbage collection" if collecting else ""
    pytest.fail(
        f"the GIL was kept for {duration(longest)} in one stretch{why}, and the limit is {duration(limit)}: an event loop "
        f"in this process stalls that long. {REMEDY['hogs']}",
        pytrace=False,
    )


def _limit(marker: pytest.Mark) -> float:
    text = marker.args[0] if len(marker.args) == 1 and not marker.kwargs else None
    match = re.fullmatch(r"\s*(\d+\.?\d*)\s*(us|ms|s)\s*", text) if isinstance(text, str) else None
    seconds = float(match[1]) * UNITS[match[2]] if match else 0.0
    if seconds < LEAST:
        given = ", ".join([*map(repr, marker.args), *(f"{name}={value!r}" for name, value in marker.kwargs.items())])
        pytest.fail(
            f'limit_gil_hold takes one duration of 1 ms or more, as limit_gil_hold("5ms"), and not ({given})',
            pytrace=False,
        )
    return seconds
