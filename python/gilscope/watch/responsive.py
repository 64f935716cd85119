"""Asserts in a test that the event loops stay responsive. If not, the failure names the cause and the line."""

from __future__ import annotations

import functools
import inspect
from contextlib import ContextDecorator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from gilscope.durations import parse_threshold
from gilscope.formatting import duration
from gilscope.naming import place_of
from gilscope.watch import stack as stacks
from gilscope.watch.api import Watch
from gilscope.watch.cause import REMEDY
from gilscope.watch.snapshots import lag_not_judged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from gilscope.records.stall import Frame, Site
    from gilscope.records.watch_report import Snapshot

Function = TypeVar("Function", bound="Callable[..., Any]")

MAX_SITES_IN_FAILURE = 5
MIN_LAG_SECONDS = 0.001


class UnresponsiveError(AssertionError):
    """A loop was late by more than the limit."""


def assert_loop_responsive(max_lag: float | str = 0.05) -> ResponsiveLoops:
    """Fail if an event loop of this process is late by ``max_lag`` (seconds, or a string such as ``"50ms"``) or more while the context lasts.

    At its end the context raises ``UnresponsiveError``, an ``AssertionError``, with causes, lines and remedies, the
    worst first. An exception of the body takes precedence. Loops that run already are watched, and loops that start inside.
    """
    __tracebackhide__ = True
    return ResponsiveLoops(parse_threshold(max_lag, name="max_lag", least=MIN_LAG_SECONDS))


class ResponsiveLoops(ContextDecorator):
    """The context of :func:`assert_loop_responsive`. A generator would show frames of contextlib in pytest's failure."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._watch = Watch(stall=f"{limit}s")

    def __call__(self, function: Function) -> Function:
        """Decorate a function. The body of a coroutine function runs after the call, on a loop that runs already."""
        if not inspect.iscoroutinefunction(function):
            return super().__call__(function)

        @functools.wraps(function)
        async def watched(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            with self._recreate_cm():
                return await function(*args, **kwargs)

        return cast("Function", watched)

    def _recreate_cm(self) -> ResponsiveLoops:
        """Return the context of one call of a decorated function: calls may overlap."""
        return ResponsiveLoops(self._limit)

    def __enter__(self) -> Watch:
        self._watch.start()
        return self._watch

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        self._watch.stop()
        if kind is None and (message := failure(self._watch.snapshot(), self._limit)):
            raise UnresponsiveError(message)


def failure(snapshot: Snapshot, max_lag: float, *, test: str = "") -> str | None:
    """Return the message of a failing test, which is in the file ``test``; ``None`` if no loop was late."""
    count = sum(snapshot.stalls.values())
    if not count:
        if not snapshot.lost and lag_not_judged(snapshot, max_lag) is None:
            return None
        measured = duration(snapshot.lags.max or max_lag)
        return f"the event loop was late by more than {duration(max_lag)}: a lag of {measured} was measured, but its stall was not judged"
    times = "once" if count == 1 else f"{count} times"
    longest = duration(lag_not_judged(snapshot, max_lag) or snapshot.worst[0].duration)
    head = f"the event loop was late by more than {duration(max_lag)} {times}, the longest lag was {longest}"
    return "\n".join(
        [f"{head}:", *(line for site in snapshot.sites[:MAX_SITES_IN_FAILURE] for line in _lines(site, snapshot, test))]
    )


def places(stack: Sequence[Frame], *, test: str = "", below: Sequence[Frame] = ()) -> str:
    """Return the line that cost the time, the innermost function that it called, and the line of the ``test``, a file.

    ``below`` is the stack from which a loop was run.
    """
    culprit = stacks.culprit(stack)
    if culprit is None:
        return ""
    named = f" at {place_of(culprit)}"
    if stack[0] != culprit:
        named += f", in {place_of(stack[0])}"
    line = next((frame for frame in reversed((*stack, *below)) if frame.file == test), culprit)
    return named if line == culprit else f"{named}, called from {place_of(line)}"


def _lines(site: Site, snapshot: Snapshot, test: str) -> Iterator[str]:
    known = (stall for stall in snapshot.worst if (stall.cause, stall.culprit) == (site.cause, site.culprit))
    stall = next(known, None)
    where = f" at {place_of(site.culprit)}" if site.culprit else ""
    if stall is not None and stall.stack:
        where = places(stall.stack, test=test, below=stall.loop_stack)
    thread = f" (thread {site.thread})" if site.thread else ""
    yield f"  {duration(site.longest)}: {site.cause}{where}{thread}"
    yield f"      -> {REMEDY[site.cause]}"
