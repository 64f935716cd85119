"""Whether a callable hogs, yields or releases the GIL.

The callable runs on the calling thread, as often as the time allows, while a native thread knocks at the GIL at random
moments (:mod:`gilscope.checks.run`). ``docs/check.md`` has the method.
"""

from __future__ import annotations

import inspect
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any

from gilscope.checks.run import Checking
from gilscope.naming import name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.verdict import Verdict

TIME = 0.5
"""How long (seconds) the callable is run, unless it is told otherwise."""


def check(fn: Callable[..., Any], /, *args: Any, time: float = TIME, **kwargs: Any) -> Verdict:
    """Say what ``fn(*args, **kwargs)`` does to the GIL.

    It is called on this thread for ``time`` seconds (up to eight times that where the knocks do not tell by then: on an
    overloaded machine), at least once; an argument of its own that is called ``time`` needs :func:`functools.partial`.
    What it raises comes out as it is. The switch interval is lowered meanwhile, and put back whatever happens.

    Raises ``TypeError`` for what cannot be checked by calling it (a coroutine function, a generator function, what is not
    callable) or a ``time`` that is no number, and ``ValueError`` for a ``time`` that is negative or not finite; then nothing has been called.
    """
    _must_run_when_called(fn)
    wrong = f"time must be a finite number of seconds from 0 on, not {time!r}"
    try:
        finite = isfinite(time)
    except TypeError:
        raise TypeError(wrong) from None
    if not finite or time < 0:
        raise ValueError(wrong)
    # Native code between the calls, so that only ``fn`` is measured.
    call = partial(fn, *args, **kwargs) if args or kwargs else fn
    return Checking(call, name_of(fn)).run(time)


def _must_run_when_called(fn: Any) -> None:
    if not callable(fn):
        raise TypeError(f"check calls what it is given, and {type(fn).__name__!r} objects are not callable")
    while isinstance(fn, partial):
        fn = fn.func
    for what in (fn, getattr(fn, "__call__", None)):  # noqa: B004 - the method's own kind is asked for
        if inspect.iscoroutinefunction(what):
            raise TypeError(
                f"{name_of(fn)} is a coroutine function: calling it runs nothing. Check what it calls, or "
                "lambda: asyncio.run(...)"
            )
        if inspect.isgeneratorfunction(what) or inspect.isasyncgenfunction(what):
            raise TypeError(f"{name_of(fn)} is a generator function: calling it runs nothing. Check lambda: list(...)")
