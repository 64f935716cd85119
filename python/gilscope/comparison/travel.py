"""Whether a callable, its arguments and its result make the round trip to a strategy's workers, and at what overhead.

A real call proves it, because pickling alone does not: a function that ``exec`` defined pickles here and is not found in
the worker, and pools of interpreters run some functions that pools of processes do not.
"""

from __future__ import annotations

import os
import pickle
import statistics
import time
import types
from concurrent.futures import BrokenExecutor
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from gilscope.comparison import worker_calls
from gilscope.isolated.payload import ImportedByWorkerError, Work
from gilscope.records.comparison import RoundTrip
from gilscope.trial.cpu_time import ProcessTree
from gilscope.trial.request import StrategySpec  # noqa: TC001 - msgspec reads the annotations
from gilscope.trial.strategies import FactoryError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gilscope.records.comparison import Failure
    from gilscope.trial.strategies import Run, Strategy

MEASURED_SECONDS = 0.2
MIN_CALLS, MAX_CALLS = 3, 200
"""An overhead is measured over :data:`MEASURED_SECONDS` of calls, within these numbers of calls."""
SHARED_STRATEGIES = ("inline", "thread")
"""The strategies whose workers use the caller's own objects."""
PICKLED_BY_NAME = (types.FunctionType, type)
NOT_FOUND = ("AttributeError", "ModuleNotFoundError")
"""What unpickling raises if a name is not found."""
TRACEBACK_HEAD = "Traceback (most recent call last):"


class RoundTripRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A round trip that a child process is to make."""

    strategy: StrategySpec
    work: Work


async def run(request: RoundTripRequest) -> RoundTrip:
    """Make the round trip that ``request`` describes. A callable that this process cannot load is a failed round trip."""
    name = request.strategy.name
    strategy = request.strategy.load()  # before the work, which lets the user's folders be searched for modules
    try:
        function, args = request.work.load()
    except Exception as error:  # noqa: BLE001 - importing runs anybody's code
        return failed(name, _loading_failure(error), f"a new process cannot load it: {_text(error)}")
    return await round_trip(name, strategy, function, args)


async def round_trip(name: str, strategy: Strategy, function: Callable[..., Any], args: tuple[Any, ...]) -> RoundTrip:
    """Make the round trip, compare the answers and measure the overhead. A failure is recorded, not raised."""
    try:
        expected = function(*args)
    except Exception as error:  # noqa: BLE001 - anybody's code
        return failed(name, "raised in worker", f"a call before that of the worker raised {_text(error)}")
    made: RoundTrip | None = None
    try:
        async with strategy(function, 1) as run:
            made = await _on(run, name, function, args, expected)
    except FactoryError as error:
        return failed(name, "no executor", str(error))
    except Exception as error:  # noqa: BLE001 - anybody's executor
        if made is not None:
            return failed(name, "worker died", f"its executor raised at the end: {_text(error)}")
        return failed(
            name, _arrival_failure(error, function, args), f"the call does not reach the worker: {_text(error)}"
        )
    assert made is not None  # noqa: S101 - no strategy suppresses an exception
    return made


async def _on(run: Run, name: str, function: Callable[..., Any], args: tuple[Any, ...], expected: Any) -> RoundTrip:
    """Make the round trip to a worker that has started. What keeps the call from reaching it is raised."""
    await run(worker_calls.receive, function, *args)
    shared = name in SHARED_STRATEGIES or (name != "interpreter" and await run(os.getpid) == os.getpid())
    try:
        got = await run(function, *args)
    except Exception as error:  # noqa: BLE001 - anybody's code
        if isinstance(error, BrokenExecutor):
            return failed(name, "worker died", f"the worker ended during the call: {_text(error)}")
        if shared or _pickles(expected):
            return failed(name, "raised in worker", f"a call in the worker raised {_text(error)}")
        return failed(name, "result cannot be pickled", f"its result does not come back: {_text(error)}")
    try:
        answer, note = _compared(expected, got, lambda: function(*args))
        empty, _ = await _timed(lambda: run(worker_calls.empty))
        overhead, overhead_cpu = await _overhead(run, function, args)
    except Exception as error:  # noqa: BLE001 - anybody's executor
        return failed(name, "worker died", f"the worker failed after the first call: {_text(error)}")
    return RoundTrip(
        strategy=name,
        answer=answer,
        note=note,
        empty=empty,
        overhead=overhead,
        overhead_cpu=None if name == "dask" else overhead_cpu,  # its workers are not children of this process
        shared=shared,
        **({} if shared else _pickling(args, got)),
    )


def failed(strategy: str, failure: Failure, reason: str) -> RoundTrip:
    """Return a round trip that failed."""
    return RoundTrip(strategy=strategy, failure=failure, reason=reason)


def pickling_failure(function: Callable[..., Any], args: tuple[Any, ...]) -> Failure:
    """Return what kept ``function`` and its arguments from being pickled."""
    if _pickles(args) and not _pickles(function) and isinstance(function, PICKLED_BY_NAME):
        return "not importable"
    return "cannot be pickled"


def _loading_failure(error: BaseException) -> Failure:
    """Return why a new process could not load the callable. Unpickling imports modules and looks names up in them."""
    if isinstance(error, ImportedByWorkerError):
        return "no main guard"
    if isinstance(error, (ImportError, AttributeError)) or _type_in_interpreter(error) in NOT_FOUND:
        return "not importable"
    return "raised while loading"


def _type_in_interpreter(error: BaseException) -> str:
    """Return the type of an exception that unpickling raised in another interpreter, outside of any module.

    The exception arrives as an ``Exception`` whose text is "TYPE: MESSAGE", after a traceback if a module was running.
    """
    return str(error).partition(":")[0] if type(error) is Exception else ""


def _arrival_failure(error: Exception, function: Callable[..., Any], args: tuple[Any, ...]) -> Failure:
    """Return why the callable did not reach a worker. An executor may need no pickle, so pickling is tried last."""
    cause = _cause(error)
    if not _pickles((function, args)):
        return pickling_failure(function, args)
    if isinstance(cause, (BrokenExecutor, ConnectionError)):
        return "worker died"
    if isinstance(cause, TimeoutError):
        return "timed out"
    return _loading_failure(cause)


def _pickles(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 - anybody's __reduce__
        return False
    return True


def _cause(error: BaseException) -> BaseException:
    """Return the exception behind ``error``. A process pool's last cause is only the text of the worker's traceback."""
    while error.__cause__ is not None and type(error.__cause__).__name__ != "_RemoteTraceback":
        error = error.__cause__
    return error


def _text(error: BaseException) -> str:
    """Return an exception on one line. If its text is a worker's traceback, the last line of that is the exception."""
    error = _cause(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if TRACEBACK_HEAD in str(error):
        # What a module raised in another interpreter ends before an empty line.
        return last_error(str(error)) or lines[-1]
    return f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": ")


def last_error(text: str) -> str:
    """Return the last line of the last traceback in ``text``, or an empty string if it has none."""
    _, head, rest = text.rpartition(TRACEBACK_HEAD)
    lines = rest.partition("\n\n")[0].splitlines() if head else []
    return next((line.strip() for line in lines[1:] if line and not line.startswith(" ")), "")


def _compared(
    expected: Any, got: Any, again: Callable[[], Any]
) -> tuple[Literal["same", "differs", "not compared"], str]:
    """Compare ``got`` with ``expected``. If they differ, ``again`` shows whether two calls in one process agree."""
    if _alike(expected, got):
        return "same", ""
    second = again()
    if not _alike(expected, second):
        return "not compared", "two calls in one process differ as well, or their results cannot be compared"
    return "differs", f"it returned {_short(got)}, a call in the parent returned {_short(expected)}"


def _alike(one: Any, other: Any) -> bool:
    """Whether both are equal, or pickle alike (NaNs and arrays do, which have no plain ``==``)."""
    try:
        if bool(one == other):
            return True
    except Exception:  # noqa: BLE001, S110 - anybody's __eq__
        pass
    try:
        return type(one) is type(other) and pickle.dumps(one) == pickle.dumps(other)
    except Exception:  # noqa: BLE001 - anybody's __reduce__
        return False


def _short(value: Any, length: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= length else text[:length] + "..."


def _pickling(args: tuple[Any, ...], result: Any) -> dict[str, Any]:
    """Return the sizes of both as pickles, and the caller's CPU time for pickling one and unpickling the other."""
    try:
        arguments, back = pickle.dumps(args), pickle.dumps(result)
        return {
            "argument_bytes": len(arguments),
            "result_bytes": len(back),
            "pickling": _cpu_time(lambda: pickle.dumps(args)),
            "unpickling": _cpu_time(lambda: pickle.loads(back)),  # noqa: S301 - pickled two lines above
        }
    except Exception:  # noqa: BLE001 - the executor does not use pickle
        return {}


def _cpu_time(work: Callable[[], object]) -> float:
    """Return the shortest of three runs: other programs can only make a run longer."""
    times = []
    for _ in range(3):
        began = time.thread_time()
        work()
        times.append(time.thread_time() - began)
    return min(times)


async def _overhead(run: Run, function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[float, float | None]:
    """Time an empty call with these arguments and this result: the worker returns a result that it has kept."""

    async def call() -> None:
        while True:
            try:
                await run(worker_calls.kept, *args)
            except LookupError:  # the executor has more workers than it was asked for, and this one is new
                await run(worker_calls.compute_and_keep, function, *args)
            else:
                return

    return await _timed(call)


async def _timed(call: Callable[[], Awaitable[Any]]) -> tuple[float, float | None]:
    """Return the median time of a call, and its mean CPU time in this process and its children."""
    await call()
    times: list[float] = []
    processes = ProcessTree()
    began, before = time.perf_counter(), processes.cpu_time()
    while len(times) < MIN_CALLS or (len(times) < MAX_CALLS and time.perf_counter() - began < MEASURED_SECONDS):
        asked = time.perf_counter()
        await call()
        times.append(time.perf_counter() - asked)
    used = (processes.cpu_time() - before).used
    return statistics.median(times), None if used is None else used / len(times)
