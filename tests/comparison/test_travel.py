"""What travels to which strategy's workers, proved on the strategies themselves."""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from gilscope.comparison import travel
from gilscope.comparison.travel import RoundTripRequest, pickling_failure, round_trip
from gilscope.isolated.payload import pickled
from gilscope.isolated.protocol import ask
from gilscope.records.comparison import RoundTrip
from gilscope.trial.request import NamedStrategy
from gilscope.trial.strategies import STRATEGIES, from_executor, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from pathlib import Path

pytestmark = pytest.mark.thorough


def made(strategy: str, function: Callable[..., Any], *args: Any) -> RoundTrip:
    """Make a round trip from this process."""
    return asyncio.run(round_trip(strategy, STRATEGIES[strategy], function, args))


def made_in_a_child(strategy: str, function: Callable[..., Any], *args: Any) -> RoundTrip:
    """Make a round trip from a process of its own, as a comparison does: it must load the function first."""
    request = RoundTripRequest(strategy=NamedStrategy(strategy), work=pickled(function, args))
    outcome = ask("gilscope.comparison.travel:run", request, RoundTrip, timeout=60)
    assert outcome.answer is not None, outcome.output
    return outcome.answer


def made_here(source: str, name: str) -> Callable[..., Any]:
    """Return a function that ``exec`` makes, under a name that pickle believes and no worker knows."""
    namespace: dict[str, Any] = {"__name__": __name__}
    exec(source, namespace)  # noqa: S102 - that is the case
    function: Callable[..., Any] = namespace[name]
    globals()[name] = function
    return function


def a_list_of(n: int) -> list[int]:
    return list(range(n))


def a_generator(n: int) -> Any:
    return (i for i in range(n))


def a_lock(_n: int) -> Any:
    return threading.Lock()


def raises_in_a_worker() -> None:
    if multiprocessing.parent_process() is not None:
        raise OSError("no display")


def dies_in_a_worker() -> None:
    if multiprocessing.parent_process() is not None:
        os._exit(1)


def a_random_number(_n: int) -> bytes:
    return os.urandom(8)


def a_nan(_n: int) -> float:
    return float("nan")


@pytest.mark.parametrize("strategy", ["inline", "thread", "process", "interpreter"])
def test_a_function_of_a_module_travels_and_returns_the_same(strategy: str) -> None:
    if reason := unavailable(strategy):
        pytest.skip(reason)
    there = made_in_a_child(strategy, a_list_of, 1000)
    assert (there.works, there.answer, there.reason) == (True, "same", "")
    assert there.empty is not None
    assert there.overhead is not None


def test_what_is_pickled_is_counted_in_bytes_and_what_is_shared_is_not() -> None:
    there = made("process", len, b"x" * 1_000_000)
    assert there.argument_bytes is not None
    assert 1_000_000 < there.argument_bytes < 1_001_000
    assert there.result_bytes is not None
    assert there.result_bytes < 100
    assert made("thread", len, b"x" * 1_000_000).argument_bytes is None


def test_a_million_times_as_much_data_has_a_larger_overhead() -> None:
    little, much = made("process", bytes, 10), made("process", bytes, 50_000_000)
    assert little.overhead_cpu is not None
    assert much.overhead_cpu is not None
    assert much.overhead_cpu > 5 * little.overhead_cpu


def test_a_function_that_exec_made_pickles_and_is_not_found_in_the_worker() -> None:
    function = made_here("def made_by_exec(n):\n    return n", "made_by_exec")
    there = made_in_a_child("process", function, 1)
    assert there.failure == "not importable"
    assert "made_by_exec" in there.reason


@pytest.mark.parametrize("function", [a_generator, a_lock])
def test_a_result_that_does_not_come_back_is_a_failure(function: Callable[..., Any]) -> None:
    there = made("process", function, 3)
    assert there.failure == "result cannot be pickled"
    assert made("thread", function, 3).works


def test_a_call_that_raises_in_the_worker_only_is_distinguished_from_a_result_that_does_not_come_back() -> None:
    there = made("process", raises_in_a_worker)
    assert (there.failure, there.reason) == ("raised in worker", "a call in the worker raised OSError: no display")


def test_a_failure_is_quoted_by_the_last_line_of_a_traceback_or_the_first_line_of_a_message() -> None:
    def trace(last: str) -> str:
        return f"Traceback (most recent call last):\n  File 'x', line 1\n    1 / 0\n{last}"

    assert travel._text(ValueError("\nno such row\n  in the table")) == "ValueError: no such row"
    assert travel._text(Exception(f"{trace('KeyError: 1')}\n\nUncaught in the interpreter:")) == "KeyError: 1"
    assert travel._text(RuntimeError(f"worker 3 failed:\n{trace('A: 1')}\n{trace('B: 2')}")) == "B: 2"
    assert travel.last_error(f"{trace('A: 1')}\n\n{trace('B: 2')}\nresource_tracker: leaked\n") == "B: 2"
    assert travel.last_error("Killed") == ""


def test_a_worker_that_dies_is_a_failure() -> None:
    assert made("process", dies_in_a_worker).failure == "worker died"


def test_a_module_that_cannot_be_imported_in_a_new_process_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imported_once.py").write_text("def function(): return 1")
    monkeypatch.syspath_prepend(tmp_path)
    function = importlib.import_module("imported_once").function
    (tmp_path / "imported_once.py").write_text("raise LookupError('not again')")
    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    there = made_in_a_child("process", function)
    assert there.failure == "raised while loading"
    assert "LookupError: not again" in there.reason


@pytest.mark.parametrize(
    ("function", "args", "failure"),
    [
        (lambda: 1, (), "not importable"),
        (len, (threading.Lock(),), "cannot be pickled"),
        (threading.Lock().acquire, (), "cannot be pickled"),
    ],
    ids=["a lambda", "a lock", "a method of a lock"],
)
def test_why_a_callable_or_its_arguments_cannot_be_pickled(
    function: Callable[..., Any], args: tuple[Any, ...], failure: str
) -> None:
    assert pickling_failure(function, args) == failure


def test_an_answer_that_depends_on_the_process_differs_there() -> None:
    there = made("process", os.getpid)
    assert there.works
    assert there.answer == "differs"
    assert made("thread", os.getpid).answer == "same"


def test_answers_that_differ_from_call_to_call_are_not_compared() -> None:
    assert made("process", a_random_number, 1).answer == "not compared"


def test_a_nan_is_the_same_answer_though_it_is_not_equal_to_itself() -> None:
    assert made("process", a_nan, 1).answer == "same"


def test_an_interpreter_runs_a_function_that_exec_made_and_a_process_does_not() -> None:
    if reason := unavailable("interpreter"):
        pytest.skip(reason)
    function = made_here("def stateless(n):\n    return n + 1", "stateless")
    in_interpreter, in_process = made("interpreter", function, 1), made("process", function, 1)
    assert (in_interpreter.failure, in_interpreter.answer) == (None, "same")
    assert in_process.failure == "worker died"


@pytest.mark.parametrize(
    ("in_worker", "failure", "cause"),
    [
        ("", "not importable", "AttributeError: module 'changed_0' has no attribute 'function'"),
        ("1 / 0", "raised while loading", "ZeroDivisionError: division by zero"),
        ("import no_such", "raised while loading", "ModuleNotFoundError: No module named 'no_such'"),
    ],
)
def test_an_interpreter_that_cannot_load_a_function_is_a_failure_with_its_reason(
    in_worker: str, failure: str, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason := unavailable("interpreter"):
        pytest.skip(reason)
    name = f"changed_{len(in_worker)}"
    file = tmp_path / f"{name}.py"
    file.write_text("def function(): return text\ntext = ''")  # an interpreter imports a function that uses a global
    monkeypatch.syspath_prepend(tmp_path)
    function = importlib.import_module(name).function
    file.write_text(in_worker)
    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    there = made("interpreter", function)
    assert there.failure == failure
    assert there.reason.startswith("the call does not reach the worker: ")
    assert there.reason.endswith(cause)


FUNCTION = """
import gilscope

def countdown(n):
    while n:
        n -= 1

def main():
    result = gilscope.compare(countdown, 1000, seconds=0.1, strategies=["thread", "process"])
    trips = {t.strategy: t.failure for t in result.comparison.round_trips}
    print(sorted({(t.strategy, t.supervised) for t in result.trials}), trips, result.comparison.in_process_reason, sep="\\n")

"""


def test_a_function_of_a_script_with_a_main_guard_travels(tmp_path: Path) -> None:
    ran = _script(tmp_path, FUNCTION + 'if __name__ == "__main__":\n    main()\n')
    assert ran[0] == "[('process', True), ('thread', True)]"
    assert ran[1] == "{'thread': None, 'process': None}"


def test_a_script_without_a_main_guard_is_compared_in_its_own_process(tmp_path: Path) -> None:
    ran = _script(tmp_path, FUNCTION + "main()\n")
    assert ran[0] == "[('thread', False)]"
    assert ran[1] == "{'thread': None, 'process': 'no main guard'}"
    assert "put the call under `if __name__ == '__main__':`" in ran[2]


def test_an_interpreter_runs_the_trials_of_a_scripts_function_that_it_takes_only_unwrapped(tmp_path: Path) -> None:
    if reason := unavailable("interpreter"):
        pytest.skip(reason)
    source = FUNCTION.replace('"thread", "process"', '"inline", "interpreter"').replace("t.supervised", "t.status")
    ran = _script(tmp_path, source + "main()\n")
    assert ran[0] == "[('inline', 'finished'), ('interpreter', 'finished')]"


def _script(folder: Path, source: str) -> list[str]:
    file = folder / "script.py"
    file.write_text(source)
    ran = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def fails_to_start(workers: int) -> Executor:
    raise LookupError(f"no {workers} left")


@pytest.mark.parametrize(
    ("factory", "why"),
    [
        (
            str,
            "returned '1', which is not an executor; return one, such as concurrent.futures.ThreadPoolExecutor(workers)",
        ),
        (fails_to_start, "raised LookupError: no 1 left"),
    ],
)
def test_a_factory_that_returns_no_executor_is_a_failure_with_its_reason(
    factory: Callable[[int], Executor], why: str
) -> None:
    tried = asyncio.run(round_trip("mine", from_executor(factory), len, ("",)))
    assert (tried.failure, tried.reason) == ("no executor", f"its factory, called with 1, {why}")
