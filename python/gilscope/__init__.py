"""Shows what CPU-bound code does to the GIL and to the asyncio event loop, says why, and says what to do about it.

The names below are loaded when they are first used, so that ``import gilscope`` stays light, and so that the
pure-Python kernels also work in a subinterpreter, where the native core does not load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gilscope import prometheus as prometheus
    from gilscope import stalls as stalls
    from gilscope._core import countdown_bridge as countdown_bridge
    from gilscope._core import countdown_held as countdown_held
    from gilscope._core import countdown_released as countdown_released
    from gilscope._core import countdown_tokio as countdown_tokio
    from gilscope.checks.api import check as check
    from gilscope.checks.assertions import assert_releases as assert_releases
    from gilscope.checks.assertions import assert_yields as assert_yields
    from gilscope.comparison.api import compare as compare
    from gilscope.countdown import countdown_cooperative as countdown_cooperative
    from gilscope.countdown import countdown_python as countdown_python
    from gilscope.records.verdict import Verdict as Verdict
    from gilscope.watch.api import Watch as Watch
    from gilscope.watch.responsive import assert_loop_responsive as assert_loop_responsive

_HOME = {
    "Verdict": "gilscope.records.verdict",
    "Watch": "gilscope.watch.api",
    "assert_loop_responsive": "gilscope.watch.responsive",
    "assert_releases": "gilscope.checks.assertions",
    "assert_yields": "gilscope.checks.assertions",
    "check": "gilscope.checks.api",
    "countdown_bridge": "gilscope._core",
    "compare": "gilscope.comparison.api",
    "countdown_cooperative": "gilscope.countdown",
    "countdown_held": "gilscope._core",
    "countdown_python": "gilscope.countdown",
    "countdown_released": "gilscope._core",
    "countdown_tokio": "gilscope._core",
}

SUBMODULES = {"prometheus", "stalls"}
"""Modules that ``import gilscope`` makes reachable. They are not in ``__all__``: one needs an extra."""

RESULT_VIEWS = {
    "text": "gilscope.reports.terminal:text",
    "recommendation": "gilscope.comparison.recommendation:recommend",
    "watch": "gilscope.reports.terminal:watch_text",
    "dump": "gilscope.reports.watch_dump:opened",
}
"""What computes ``str(result)``, ``result.recommendation`` and ``str(watch)``, and writes the files of ``watch.dump``: they look
here, and must not import it."""

__all__ = sorted(_HOME)  # noqa: PLE0605 - one list of names is enough


def __getattr__(name: str) -> object:
    if name in SUBMODULES:
        return import_module(f"gilscope.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'gilscope' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
