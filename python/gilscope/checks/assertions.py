"""Claims about a callable, for any test framework or none: the failure's text is the evidence and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilscope.checks.api import TIME, check
from gilscope.naming import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.verdict import Kind, Verdict


def assert_releases(fn: Callable[..., Any], /, *args: Any, time: float = TIME, **kwargs: Any) -> Verdict:
    """Raise ``AssertionError`` unless ``fn(*args, **kwargs)`` releases the GIL; arguments as :func:`gilscope.check`'s."""
    __tracebackhide__ = True
    return _must_be("releases", check(fn, *args, time=time, **kwargs))


def assert_yields(fn: Callable[..., Any], /, *args: Any, time: float = TIME, **kwargs: Any) -> Verdict:
    """Raise ``AssertionError`` unless ``fn(*args, **kwargs)`` yields the GIL; arguments as :func:`gilscope.check`'s."""
    __tracebackhide__ = True
    return _must_be("yields", check(fn, *args, time=time, **kwargs))


def meets(verdict: Verdict, expected: Kind) -> bool:
    """Return whether ``verdict`` is what was expected. Where there is no GIL, nothing keeps it from anyone."""
    return verdict.kind == expected or (verdict.kind == "no GIL" and expected != "hogs")


def _must_be(expected: Kind, verdict: Verdict) -> Verdict:
    __tracebackhide__ = True
    if not meets(verdict, expected):
        does = expected.removesuffix("s")
        raise AssertionError(f"{quoted(verdict.name)} was expected to {does} the GIL, but it {_what(verdict)}")
    return verdict


def _what(verdict: Verdict) -> str:
    if verdict.kind == "too short":
        return f"cannot be judged.\n{verdict}\n{verdict.evidence}"
    return f"{verdict.kind}.\n{verdict}\n{verdict.evidence}"
