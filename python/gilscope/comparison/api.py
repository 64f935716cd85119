"""Where a call should run: ``gilscope.compare``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from gilscope.checks.api import check
from gilscope.comparison.run import Candidate, ComparisonRun, NoProgress, Subject, candidate, concurrency
from gilscope.comparison.travel import failed, pickling_failure
from gilscope.durations import parse_duration, parse_threshold
from gilscope.isolated import payload
from gilscope.naming import name_of
from gilscope.records.result import Plan
from gilscope.trial import dask as dask_strategy
from gilscope.trial.request import DaskStrategy, ExecutorStrategy
from gilscope.trial.strategies import DEFAULT_STRATEGIES, from_executor, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor

    from gilscope.records.result import Result

DEFAULT_SECONDS = 1.0
DEFAULT_TIMEOUT_SECONDS = 60.0
DEFAULT_BUDGET_SECONDS = 0.01
MIN_SECONDS = 0.001
MIN_BUDGET_SECONDS = 0.0001
KNOWN_STRATEGIES = (*DEFAULT_STRATEGIES, "dask")


def compare(
    function: Callable[..., Any],
    /,
    *args: Any,
    strategies: Iterable[str] | Mapping[str, Callable[[int], Executor]] = DEFAULT_STRATEGIES,
    dask: str = "",
    budget: float | str = DEFAULT_BUDGET_SECONDS,
    seconds: float | str = DEFAULT_SECONDS,
    timeout: float | str = DEFAULT_TIMEOUT_SECONDS,
) -> Result:
    """Run ``function(*args)`` under every strategy beside a ticking event loop, and recommend where it should run.

    The recommendation is ``result.recommendation``; ``print(result)`` shows everything.

    ``strategies`` are names, or a mapping of your own names to factories of executors. The default strategies are inline,
    thread, process and interpreter. Executors are compared in addition to these: ``{"loky": loky.ProcessPoolExecutor}``. A
    factory is called with the number of workers. The name ``"dask"`` stands for the scheduler at the address ``dask``, or
    for a cluster of local processes.

    ``budget`` is the longest acceptable lag of the event loop (0.01 s by default). Each trial starts new calls for
    ``seconds`` (1 by default), and is ended after ``timeout`` seconds (60 by default). All three may be strings such as
    ``"20ms"``.

    Blocks until all trials are done. Raises what ``function`` raises in its first call; ``TypeError`` and ``ValueError``
    for invalid arguments; ``RuntimeError`` in a worker that imports the script which called it.
    """
    payload.refuse_while_importing_main()
    if not callable(function):
        raise TypeError(f"compare takes a callable and its arguments, not {type(function).__name__}")
    if inspect.iscoroutinefunction(function):
        raise TypeError(
            "compare takes a function that computes, not a coroutine function, which would run on the loop itself"
        )
    longest_lag = parse_threshold(budget, name="budget", least=MIN_BUDGET_SECONDS)
    plan = Plan(
        seconds=parse_duration(seconds, name="seconds", least=MIN_SECONDS),
        timeout=parse_duration(timeout, name="timeout", least=MIN_SECONDS),
    )
    if plan.timeout <= plan.seconds:
        raise ValueError(
            f"timeout ({plan.timeout:g} s) must be longer than seconds ({plan.seconds:g} s), which each trial takes"
        )
    if isinstance(strategies, str) or not isinstance(strategies, Iterable):
        raise TypeError(
            "strategies must be a list of names, such as ['thread'], or a mapping of names to factories of executors, not "
            f"{strategies!r}"
        )
    with _candidates(strategies, dask) as candidates:
        comparison = ComparisonRun(subject(function, args), candidates, plan, budget=longest_lag)
        comparison.run(NoProgress())
    return comparison.result()


def subject(function: Callable[..., Any], args: tuple[Any, ...]) -> Subject:
    """Check ``function``, try to pickle it, and return what to compare. Whether it loads elsewhere is tried later."""
    verdict = check(function, *args)
    work, stuck = None, None
    try:
        work = payload.pickled(function, args)
    except Exception as error:  # noqa: BLE001 - anybody's __reduce__
        stuck = failed("process", pickling_failure(function, args), f"it cannot be pickled: {error}")
    return Subject(name_of(function), verdict, (function, args), work, stuck)


@contextmanager
def named_candidates(
    names: Iterable[str], address: str = "", *, upload: str = "", path: Sequence[str] = ()
) -> Iterator[list[Candidate]]:
    """Yield the strategies of those names. A local dask cluster, if one is needed, lasts as long as the context.

    The workers of a local cluster search modules on ``path``, or on the path of this process.

    Raise ``ValueError`` for an unknown name, for an address without ``dask`` among the names, and for an address where no
    scheduler answers.
    """
    names = list(dict.fromkeys(names))
    if not names:
        raise ValueError("give at least one strategy")
    for name in names:
        if name not in KNOWN_STRATEGIES:
            raise ValueError(f"no strategy is called {name!r}; known strategies: {', '.join(KNOWN_STRATEGIES)}")
    if address and "dask" not in names:
        raise ValueError("the address of a dask scheduler is given, but dask is not among the strategies")
    reasons = {name: dask_strategy.not_installed() if name == "dask" else unavailable(name) for name in names}
    if address and not reasons["dask"] and (reason := dask_strategy.unreachable(address)):
        raise ValueError(reason)
    local = "dask" in names and not address and not reasons["dask"]
    with (
        dask_strategy.local_cluster(max(concurrency()), path or sys.path)
        if local
        else nullcontext(address) as scheduler
    ):
        spec = DaskStrategy(scheduler, upload)
        yield [
            Candidate(name, spec.load(), spec, reasons[name]) if name == "dask" else candidate(name, reasons[name])
            for name in names
        ]


@contextmanager
def _candidates(
    strategies: Iterable[str] | Mapping[str, Callable[[int], Executor]], dask: str
) -> Iterator[list[Candidate]]:
    if not isinstance(strategies, Mapping):
        with named_candidates(strategies, dask) as chosen:
            yield chosen
        return
    executors = [_executor_candidate(name, factory) for name, factory in strategies.items()]
    with named_candidates([*DEFAULT_STRATEGIES, *(["dask"] if dask else [])], dask) as chosen:
        yield [*chosen, *executors]


def _executor_candidate(name: str, factory: Callable[[int], Executor]) -> Candidate:
    if name in KNOWN_STRATEGIES:
        raise ValueError(f"{name!r} is the name of a built-in strategy: choose another name")
    if not callable(factory):
        raise TypeError(
            f"strategies[{name!r}] must be a callable that takes the number of workers and returns an executor"
        )
    try:
        spec = ExecutorStrategy(name, payload.pickled(factory, ()))
    except Exception:  # noqa: BLE001 - anybody's __reduce__
        return Candidate(name, from_executor(factory), None)
    return Candidate(name, from_executor(factory), spec)
