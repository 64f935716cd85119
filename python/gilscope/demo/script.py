"""What ``python/demo.py`` needs and the article's script does not have: an end in time, native counts, a quiet Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, resource_tracker
from time import monotonic, thread_time
from timeit import repeat
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from gilscope._core import countdown_released
from gilscope.countdown import countdown_python
from gilscope.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
T = TypeVar("T")

STEPS_TO_CALIBRATE = 1_000_000
EXIT_STATUS_AFTER_CTRL_C = 130

Worker = tuple[Any, Mapping[str, Any], Any]
"""The worker's function, the kernels that it can run (the first is the default), and the figure of the article."""


def main(workers: Mapping[str, Worker], run: Callable[[str, str, float], None]) -> None:
    """Read the command line and call ``run(worker, kernel, seconds)``, or do so for each kernel of the thread worker.

    Exits with status 2 after bad arguments and with 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(description="Run the article's ticker beside one of its workers.")
    parser.add_argument("worker", nargs="?", choices=workers, help="default: thread, with each kernel in turn")
    parser.add_argument("--kernel", choices=workers["thread"][1], help="default: the worker's first kernel")
    parser.add_argument(
        "--seconds", type=_seconds, default=6.0, help="start no task after this long (default: %(default)s)"
    )
    asked = parser.parse_args()
    kernels = list(workers[asked.worker or "thread"][1])
    if asked.kernel and not asked.worker:
        parser.error("--kernel needs a worker")
    if asked.kernel and asked.kernel not in kernels:
        parser.error(f"the {asked.worker} worker can run {', '.join(kernels)}, not {asked.kernel}")
    try:
        if asked.worker:
            run(asked.worker, asked.kernel or kernels[0], asked.seconds)
        else:
            for kernel in kernels:
                print(f"\nthread/{kernel}")
                run("thread", kernel, asked.seconds)
    except KeyboardInterrupt:
        raise SystemExit(EXIT_STATUS_AFTER_CTRL_C) from None


def _seconds(text: str) -> float:
    try:
        return parse_duration(text, least=0.001)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def running_for(seconds: float) -> Callable[[], bool]:
    """Return a function that stands for the article's ``True`` in ``while True``.

    The function returns False after ``seconds``, and in a task that Ctrl-C has cancelled.
    """
    deadline = monotonic() + seconds

    def running() -> bool:
        task = asyncio.current_task()
        return monotonic() < deadline and not (task and task.cancelling())

    return running


def native_count(python_count: int) -> int:
    """Return the count that takes Rust as long as ``python_count`` takes Python on this machine."""

    def seconds(countdown: Callable[[int], int]) -> float:
        return min(repeat(lambda: countdown(STEPS_TO_CALIBRATE), timer=thread_time, number=1))

    return round(python_count * seconds(countdown_python) / seconds(countdown_released))


def process_pool(workers: int) -> ProcessPoolExecutor:
    """Return a pool of spawned processes that Ctrl-C does not interrupt, so they print no traceback.

    The pool waits for the tasks in progress when it is closed.
    """
    return _QuietProcessPool(workers, get_context("spawn"))


class _QuietProcessPool(ProcessPoolExecutor):
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        with _sigint_blocked():  # the pool starts its processes in submit, and they inherit the signal mask
            return super().submit(fn, *args, **kwargs)


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    resource_tracker.ensure_running()  # its start inside the block would unblock SIGINT
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
