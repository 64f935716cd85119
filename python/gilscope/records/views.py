"""What a result says about itself, computed by parts of gilscope that the records must not import.

The package's ``__init__`` registers the functions when it loads a public name that returns a result. Each function is
imported when it is first called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from gilscope.records.finding import Recommendation

_functions: dict[str, str] = {}


def register(*, text: str, recommendation: str) -> None:
    """Register the dotted names of the functions behind :func:`text` and :func:`recommendation`."""
    _functions.update(text=text, recommendation=recommendation)


def text(result: Any) -> str:
    """Return the report that the command line prints, 100 columns wide."""
    return str(_function("text")(result))


def recommendation(result: Any) -> Recommendation:
    """Return where the compared callable should run."""
    made: Recommendation = _function("recommendation")(result)
    return made


def _function(name: str) -> Callable[[Any], Any]:
    from pkgutil import resolve_name

    if name not in _functions:
        raise RuntimeError("a result prints itself only in a process that has loaded gilscope.compare")
    function: Callable[[Any], Any] = resolve_name(_functions[name])
    return function
