"""Whether a callable, its arguments and its result travel to a strategy's workers and back, and at what price.

Proved by doing it: a function that ``exec`` defined pickles here and breaks in the worker, and pools of interpreters take
some that pools of processes do not.
"""

from __future__ import annotations

import os
import pickle
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any, Literal

from gilscope.comparison import worker_calls as errands

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gilscope.records.comparison import Passage
    from gilscope.trial.strategies import Run, Strategy

TIMED = 0.2
"""Seconds that a cost is measured for,"""
FEWEST, MOST = 3, 200
"""with at least and at most so many calls."""
CAME_BACK = "a call in the worker raised, or its result does not come back"
"""What a reason begins with when the callable and its arguments did reach the worker."""
SHARED = ("inline", "thread")
"""Strategies whose workers take the caller's own objects."""


async def probe(name: str, strategy: Strategy, function: Callable[..., Any], args: tuple[Any, ...]) -> Passage:
    """Make the round trip, compare the answers and time the way. What goes wrong is in the passage, not raised."""
    from gilscope.records.comparison import Passage
    from gilscope.trial.strategies import FactoryError

    step = "called here"
    try:
        expected = function(*args)
        step = "reached there"
        async with strategy(function, 1) as run:
            await run(errands.arrive, function, *args)
            step = "called there"
            got = await run(function, *args)
            step = "timed there"
            answer, note = _compared(expected, got, lambda: function(*args))
            shared = name in SHARED or (name != "interpreter" and await run(os.getpid) == os.getpid())
            hand_over, _ = await _timed(lambda: run(errands.nothing))
            carried, computing = await _carried(run, function, args)
    except FactoryError as error:
        return stays(name, str(error))
    except Exception as error:  # noqa: BLE001 - anybody's code, and anybody's executor
        return stays(name, _reason(step, error))
    return Passage(
        strategy=name,
        travels=True,
        answer=answer,
        note=note,
        hand_over=hand_over,
        carried=carried,
        computing=None if name == "dask" else computing,  # its workers are no children of this process
        shared=shared,
        **({} if shared else _pickling(args, got)),
    )


def stays(strategy: str, reason: str) -> Passage:
    """Return the passage of what does not make it."""
    from gilscope.records.comparison import Passage

    return Passage(strategy=strategy, travels=False, reason=reason)


def _reason(step: str, error: BaseException) -> str:
    while error.__cause__ is not None and type(error.__cause__).__name__ != "_RemoteTraceback":  # a process pool's
        error = error.__cause__
    cause = f"{type(error).__name__}: {error}".strip().rstrip(":").splitlines()[0]
    match step:
        case "called here":
            return f"a call in a new process raised {cause}"
        case "reached there":
            return f"it does not reach the worker: {cause}"
        case "called there":
            return f"{CAME_BACK}: {cause}"
    return f"the worker did not last: {cause}"


def _compared(
    expected: Any, got: Any, again: Callable[[], Any]
) -> tuple[Literal["same", "differs", "not compared"], str]:
    """Tell whether ``got`` is ``expected``; where it is not, ``again`` shows if two calls in one place agree at all."""
    if _alike(expected, got):
        return "same", ""
    second = again()
    if not _alike(expected, second):
        return "not compared", "two calls in one process differ as well, or cannot be told apart"
    return "differs", f"it brought {_short(got)}, a call in the parent {_short(expected)}"


def _alike(one: Any, other: Any) -> bool:
    """Whether both are equal, or pickle alike (as NaNs and arrays do, which have no plain ``==``)."""
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
    """Return the sizes of both as pickles, and what the caller pays: pickling the one, unpickling the other."""
    try:
        arguments, back = pickle.dumps(args), pickle.dumps(result)
        return {
            "arguments": len(arguments),
            "result": len(back),
            "packing": _processor_time(lambda: pickle.dumps(args)),
            "unpacking": _processor_time(lambda: pickle.loads(back)),  # noqa: S301 - pickled two lines above
        }
    except Exception:  # noqa: BLE001 - it travelled by other means than pickle
        return {}


def _processor_time(work: Callable[[], object]) -> float:
    """Return the least of three: other programs cannot make it smaller."""
    times = []
    for _ in range(3):
        began = time.thread_time()
        work()
        times.append(time.thread_time() - began)
    return min(times)


async def _carried(run: Run, function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[float, float | None]:
    """Time an empty call with these arguments and this result: what a worker has once computed it hands out again."""

    async def carry() -> None:
        while True:
            try:
                await run(errands.recall, *args)
            except LookupError:  # somebody's executor has more workers than it was asked for, and this one is new
                await run(errands.remember, function, *args)
            else:
                return

    return await _timed(carry)


async def _timed(call: Callable[[], Awaitable[Any]]) -> tuple[float, float | None]:
    """Return what a call takes: the median of some, and the processor time of one in this process and its children."""
    from gilscope.trial.cpu_time import Family

    await call()
    times: list[float] = []
    family = Family()
    began, before = time.perf_counter(), family.read()
    while len(times) < FEWEST or (len(times) < MOST and time.perf_counter() - began < TIMED):
        asked = time.perf_counter()
        await call()
        times.append(time.perf_counter() - asked)
    used = (family.read() - before).used
    return statistics.median(times), None if used is None else used / len(times)


def main(asked: str, answered: str) -> None:
    from gilscope.trial.request import Request, answer

    answer(asked, answered, Request.probe)


if __name__ == "__main__":
    main(*sys.argv[1:])
