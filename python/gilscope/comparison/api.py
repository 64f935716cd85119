"""Where a call should run: ``gilscope.compare``."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping
from contextlib import contextmanager, nullcontext
from numbers import Real
from typing import TYPE_CHECKING, Any

from gilscope.checks.api import check
from gilscope.comparison.run import Comparison, Option, Silence, Subject, concurrency, option
from gilscope.isolated import payload as work
from gilscope.naming import name_of
from gilscope.records.result import Plan
from gilscope.trial import dask as cluster
from gilscope.trial.request import Dask, Made
from gilscope.trial.strategies import OF_COMPARISON, from_executor, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor

    from gilscope.records.result import Result

SECONDS = 1.0
BUDGET = 0.01
KNOWN = (*OF_COMPARISON, "dask")


def compare(
    function: Callable[..., Any],
    /,
    *args: Any,
    strategies: Iterable[str] | Mapping[str, Callable[[int], Executor]] = OF_COMPARISON,
    dask: str = "",
    budget: float = BUDGET,
    seconds: float = SECONDS,
    timeout: float = 60.0,
) -> Result:
    """Run ``function(*args)`` under every strategy beside a ticking event loop; what it advises is in the result.

    ``strategies`` are names, ``"dask"`` among them if it is wanted (on the scheduler at the address ``dask``, or on a
    cluster of local processes); or a mapping of names to factories of executors, which are compared beside the usual ones:
    ``{"loky": loky.ProcessPoolExecutor}``. A factory is called with the number of workers. ``budget`` is how many seconds
    the loop may be kept waiting, ``seconds`` how long each trial starts new calls, ``timeout`` when one is ended.

    Blocks until it is done. Raises what ``function`` raises in its first call; ``TypeError`` and ``ValueError`` for
    arguments of its own; ``RuntimeError`` in a worker that imports the script which called it.
    """
    work.refuse_while_importing_main()
    if not callable(function):
        raise TypeError(f"compare takes a callable and its arguments, not {type(function).__name__}")
    if inspect.iscoroutinefunction(function):
        raise TypeError(
            "compare takes a function that computes, not a coroutine function: it would run on the loop itself"
        )
    for name, value in (("budget", budget), ("seconds", seconds), ("timeout", timeout)):
        if not isinstance(value, Real):
            raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a finite, positive number of seconds")
    if timeout <= seconds:
        raise ValueError(f"a trial runs for {seconds:g} s and would be ended after {timeout:g} s: raise timeout")
    if isinstance(strategies, str) or not isinstance(strategies, Iterable):
        raise TypeError(
            "strategies must be several names, such as ['thread'], or a mapping of names to factories of executors, not "
            f"{strategies!r}"
        )
    with _options(strategies, dask) as options:
        comparison = Comparison(subject(function, args), options, Plan(seconds=seconds, timeout=timeout), budget=budget)
        comparison.run(Silence())
    return comparison.result()


def subject(function: Callable[..., Any], args: tuple[Any, ...]) -> Subject:
    """Check ``function`` and return what to compare. That it pickles is tried here; whether it loads elsewhere, later."""
    verdict = check(function, *args)
    packed, stays = None, ""
    try:
        packed = work.pack(function, args)
    except Exception as error:  # noqa: BLE001 - anybody's __reduce__
        stays = f"it cannot be pickled: {error}"
    return Subject(name_of(function), verdict, (function, args), packed, stays)


@contextmanager
def options(names: Iterable[str], address: str = "", *, upload: str = "") -> Iterator[list[Option]]:
    """Yield the strategies of those names; a local cluster, if one of them needs it, lasts as long as the context.

    ``ValueError`` for a name that there is not, for an address where ``dask`` is not among them, and for one where no
    scheduler answers.
    """
    names = list(dict.fromkeys(names))
    if not names:
        raise ValueError("give at least one strategy")
    for name in names:
        if name not in KNOWN:
            raise ValueError(f"no strategy is called {name!r}; there are: {', '.join(KNOWN)}")
    if address and "dask" not in names:
        raise ValueError("the address of a dask scheduler is given, but dask is not among the strategies")
    reasons = {name: cluster.missing() if name == "dask" else unavailable(name) for name in names}
    if address and not reasons["dask"] and (silence := cluster.answers(address)):
        raise ValueError(silence)
    local = "dask" in names and not address and not reasons["dask"]
    with cluster.local(max(concurrency())) if local else nullcontext(address) as scheduler:
        place = Dask(scheduler, upload)
        yield [
            Option(name, place.strategy(), place, reasons[name]) if name == "dask" else option(name, reasons[name])
            for name in names
        ]


@contextmanager
def _options(strategies: Iterable[str] | Mapping[str, Callable[[int], Executor]], dask: str) -> Iterator[list[Option]]:
    if not isinstance(strategies, Mapping):
        with options(strategies, dask) as chosen:
            yield chosen
        return
    made = [_made(name, factory) for name, factory in strategies.items()]
    with options([*OF_COMPARISON, *(["dask"] if dask else [])], dask) as chosen:
        yield [*chosen, *made]


def _made(name: str, factory: Callable[[int], Executor]) -> Option:
    if name in KNOWN:
        raise ValueError(f"{name!r} is a strategy already: call yours something else")
    if not callable(factory):
        raise TypeError(f"strategies[{name!r}] must be what makes an executor when called with the number of workers")
    try:
        place = Made(name, work.pack(factory, ()))
    except Exception:  # noqa: BLE001 - anybody's __reduce__
        return Option(name, from_executor(factory), None)
    return Option(name, from_executor(factory), place)
