"""``gilscope.check``: whether a callable hogs, yields or releases the GIL.

The callable runs on the calling thread, again and again for a while; meanwhile a native thread asks for the GIL at random
moments (:mod:`gilscope.checks.run`). ``docs/check.md`` explains the method.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

from gilscope.checks.run import Checking
from gilscope.durations import parse_duration
from gilscope.naming import name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.verdict import Verdict

DEFAULT_SECONDS = 0.5


def check(fn: Callable[..., Any], /, *args: Any, time: float | str = DEFAULT_SECONDS, **kwargs: Any) -> Verdict:
    """Return what ``fn(*args, **kwargs)`` does to the GIL.

    ``fn`` is called on this thread for ``time`` (0.5 seconds by default; ``2`` or ``"200ms"``), at least once. If the samples are not conclusive
    by then, as on an overloaded machine, the calls go on for up to eight times as long. Exceptions of ``fn`` propagate
    unchanged. The switch interval is lowered during the check and restored in any case. To pass ``fn`` an argument named
    ``time``, use ``functools.partial``.

    Raises ``TypeError`` for a callable that runs nothing when called (a coroutine function, a generator function), for an
    object that is not callable, and for a ``time`` that is neither a number nor a string. Raises ``ValueError`` for a ``time``
    that is not a duration. In these cases nothing has been called.
    """
    _must_run_when_called(fn)
    seconds = parse_duration(time, name="time")
    # partial is native: no Python code of ours runs between the calls.
    call = partial(fn, *args, **kwargs) if args or kwargs else fn
    return Checking(call, name_of(fn)).run(seconds)


def _must_run_when_called(fn: Any) -> None:
    if not callable(fn):
        raise TypeError(f"check calls its argument, and {type(fn).__name__!r} objects are not callable")
    while isinstance(fn, partial):
        fn = fn.func
    for what in (fn, getattr(fn, "__call__", None)):  # noqa: B004 - the kind of the method matters, not its presence
        if inspect.iscoroutinefunction(what):
            raise TypeError(
                f"{name_of(fn)} is a coroutine function: calling it runs nothing. Check what it calls, or "
                "lambda: asyncio.run(...)"
            )
        if inspect.isgeneratorfunction(what) or inspect.isasyncgenfunction(what):
            raise TypeError(f"{name_of(fn)} is a generator function: calling it runs nothing. Check lambda: list(...)")
