"""Assertions about a callable, for any test framework: the failure shows the evidence and a remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilscope.checks.api import DEFAULT_SECONDS, check
from gilscope.naming import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.verdict import Kind, Verdict


def assert_releases(
    fn: Callable[..., Any], /, *args: Any, time: float | str = DEFAULT_SECONDS, **kwargs: Any
) -> Verdict:
    """Raise ``AssertionError`` unless ``fn(*args, **kwargs)`` releases the GIL. Arguments as in ``gilscope.check``."""
    __tracebackhide__ = True
    return _must_be("releases", check(fn, *args, time=time, **kwargs))


def assert_yields(fn: Callable[..., Any], /, *args: Any, time: float | str = DEFAULT_SECONDS, **kwargs: Any) -> Verdict:
    """Raise ``AssertionError`` unless ``fn(*args, **kwargs)`` yields the GIL. Arguments as in ``gilscope.check``."""
    __tracebackhide__ = True
    return _must_be("yields", check(fn, *args, time=time, **kwargs))


def meets(verdict: Verdict, expected: Kind) -> bool:
    """Return whether ``verdict`` is the expected one. Without a GIL, every expectation but ``hogs`` is met."""
    return verdict.kind == expected or (verdict.kind == "no GIL" and expected != "hogs")


def _must_be(expected: Kind, verdict: Verdict) -> Verdict:
    __tracebackhide__ = True
    if not meets(verdict, expected):
        verb = expected.removesuffix("s")
        found = "the verdict is undecided" if verdict.kind == "undecided" else f"it {verdict.kind}"
        raise AssertionError(
            f"{quoted(verdict.name)} was expected to {verb} the GIL, but {found}.\n{verdict}\n{verdict.evidence}"
        )
    return verdict
