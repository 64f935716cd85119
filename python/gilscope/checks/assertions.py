"""Assertions about a callable, for any test framework: the failure shows the evidence and a remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilscope.checks.api import DEFAULT_SECONDS, check
from gilscope.durations import parse_threshold
from gilscope.formatting import duration
from gilscope.naming import quoted
from gilscope.records.verdict import sentences

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.verdict import Verdict
    from gilscope.records.verdict_parts import Kind


def assert_releases(
    fn: Callable[..., Any],
    /,
    *args: Any,
    time: float | str = DEFAULT_SECONDS,
    max_hold: float | str | None = None,
    **kwargs: Any,
) -> Verdict:
    """Raise ``AssertionError`` unless ``fn(*args, **kwargs)`` releases the GIL. Arguments as in ``gilscope.check``.

    With ``max_hold``, such as ``"5ms"``, raise it also if an event loop would stall for longer than that because of a call.
    """
    __tracebackhide__ = True
    return _must_be("releases", fn, args, kwargs, time, max_hold)


def assert_yields(
    fn: Callable[..., Any],
    /,
    *args: Any,
    time: float | str = DEFAULT_SECONDS,
    max_hold: float | str | None = None,
    **kwargs: Any,
) -> Verdict:
    """Raise ``AssertionError`` unless ``fn(*args, **kwargs)`` yields the GIL. Arguments as in ``assert_releases``."""
    __tracebackhide__ = True
    return _must_be("yields", fn, args, kwargs, time, max_hold)


def meets(verdict: Verdict, expected: Kind) -> bool:
    """Return whether ``verdict`` is the expected one. Without a GIL, every expectation but ``hogs`` is met."""
    return verdict.kind == expected or (verdict.kind == "no GIL" and expected != "hogs")


def too_long(verdict: Verdict, max_hold: float) -> str:
    """Return what is wrong if an event loop would stall for longer than ``max_hold``; ``""`` if it would not."""
    if verdict.stall <= max_hold:
        return ""
    said, limit = duration(verdict.stall), duration(max_hold)
    return f"{quoted(verdict.name)} stalls an event loop in its process for {said}; the limit is {limit}"


def _must_be(
    expected: Kind,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    time: float | str,
    max_hold: float | str | None,
) -> Verdict:
    __tracebackhide__ = True
    limit = None if max_hold is None else parse_threshold(max_hold, name="max_hold")
    verdict = check(fn, *args, time=time, **kwargs)
    said = "" if limit is None else too_long(verdict, limit)
    if not meets(verdict, expected):
        verb = expected.removesuffix("s")
        found = "the verdict is undecided" if verdict.kind == "undecided" else f"it {verdict.kind}"
        said = f"{quoted(verdict.name)} was expected to {verb} the GIL, but {found}"
    if said:
        raise AssertionError(f"{said}.\n{' '.join(sentences(verdict, max_hold=limit))}\n{verdict.evidence}")
    return verdict
