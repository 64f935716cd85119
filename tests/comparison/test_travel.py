"""What travels to which strategy's workers, proved on the strategies themselves."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from gilscope.comparison.travel import probe
from gilscope.isolated import payload as work
from gilscope.isolated import supervise
from gilscope.records.comparison import Passage
from gilscope.records.result import Plan
from gilscope.trial.request import Named, Request
from gilscope.trial.strategies import STRATEGIES, from_executor, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from pathlib import Path


def passage(strategy: str, function: Callable[..., Any], *args: Any) -> Passage:
    """Make the passage from a process of its own, as a comparison does."""
    request = Request(plan=Plan(), place=Named(strategy), work=work.pack(function, args))
    outcome = supervise.run("gilscope.comparison.travel", msgspec.json.encode(request), timeout=60)
    assert outcome.status == "finished", outcome.output
    return msgspec.json.decode(outcome.answer, type=Passage)


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


def a_random_number(_n: int) -> bytes:
    return os.urandom(8)


def a_nan(_n: int) -> float:
    return float("nan")


@pytest.mark.parametrize("strategy", ["inline", "thread", "process", "interpreter"])
def test_a_function_of_a_module_travels_and_brings_the_same_answer(strategy: str) -> None:
    if reason := unavailable(strategy):
        pytest.skip(reason)
    there = passage(strategy, a_list_of, 1000)
    assert (there.travels, there.answer, there.reason) == (True, "same", "")
    assert there.hand_over is not None
    assert there.carried is not None


def test_what_is_pickled_is_counted_in_bytes_and_what_is_shared_is_not() -> None:
    there = passage("process", len, b"x" * 1_000_000)
    assert there.arguments is not None
    assert 1_000_000 < there.arguments < 1_001_000
    assert there.result is not None
    assert there.result < 100
    assert passage("thread", len, b"x" * 1_000_000).arguments is None


def test_carrying_a_million_times_as_much_costs_more() -> None:
    little, much = passage("process", bytes, 10), passage("process", bytes, 50_000_000)
    assert little.computing is not None
    assert much.computing is not None
    assert much.computing > 5 * little.computing


def test_a_function_that_exec_made_pickles_and_is_not_found_in_the_worker() -> None:
    function = made_here("def made_by_exec(n):\n    return n", "made_by_exec")
    there = passage("process", function, 1)
    assert not there.travels
    assert "made_by_exec" in there.reason


@pytest.mark.parametrize("function", [a_generator, a_lock])
def test_a_result_that_does_not_come_back_is_found_out(function: Callable[..., Any]) -> None:
    there = passage("process", function, 3)
    assert not there.travels
    assert "pickle" in there.reason
    assert passage("thread", function, 3).travels


def test_an_answer_that_depends_on_the_process_differs_there() -> None:
    there = passage("process", os.getpid)
    assert there.travels
    assert there.answer == "differs"
    assert passage("thread", os.getpid).answer == "same"


def test_answers_that_differ_from_call_to_call_are_not_compared() -> None:
    assert passage("process", a_random_number, 1).answer == "not compared"


def test_a_nan_is_the_same_answer_though_it_is_not_equal_to_itself() -> None:
    assert passage("process", a_nan, 1).answer == "same"


def test_an_interpreter_takes_a_function_that_exec_made_where_a_process_does_not() -> None:
    if reason := unavailable("interpreter"):
        pytest.skip(reason)
    function = made_here("def stateless(n):\n    return n + 1", "stateless")
    in_interpreter = asyncio.run(probe("interpreter", STRATEGIES["interpreter"], function, (1,)))
    in_process = asyncio.run(probe("process", STRATEGIES["process"], function, (1,)))
    assert not in_process.travels
    assert in_interpreter.travels or "stateless" in in_interpreter.reason


FUNCTION = """
import gilscope

def countdown(n):
    while n:
        n -= 1

def main():
    result = gilscope.compare(countdown, 1000, seconds=0.1, strategies=["inline", "thread", "process"])
    passages = {p.strategy: p.travels for p in result.comparison.passages}
    print(sorted({(t.strategy, t.supervised) for t in result.trials}), passages, result.comparison.stays, sep="\\n")

"""


def test_a_scripts_own_function_travels_from_under_its_guard(tmp_path: Path) -> None:
    ran = _script(tmp_path, FUNCTION + 'if __name__ == "__main__":\n    main()\n')
    assert ran[0] == "[('inline', True), ('process', True), ('thread', True)]"
    assert ran[1] == "{'inline': True, 'thread': True, 'process': True}"


def test_a_script_without_a_guard_is_compared_in_its_own_process(tmp_path: Path) -> None:
    ran = _script(tmp_path, FUNCTION + "main()\n")
    assert ran[0] == "[('inline', False), ('thread', False)]"
    assert ran[1] == "{'inline': True, 'thread': True, 'process': False}"
    assert "put the call under `if __name__ == '__main__':`" in ran[2]


def test_an_interpreter_runs_the_trials_of_a_scripts_function_that_it_takes_only_as_it_is(tmp_path: Path) -> None:
    if reason := unavailable("interpreter"):
        pytest.skip(reason)
    source = FUNCTION.replace('"thread", "process"', '"interpreter"').replace("t.supervised", "t.status")
    ran = _script(tmp_path, source + "main()\n")
    assert ran[0] == "[('inline', 'finished'), ('interpreter', 'finished')]"


def _script(folder: Path, source: str) -> list[str]:
    file = folder / "script.py"
    file.write_text(source)
    ran = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def none_to_be_had(workers: int) -> Executor:
    raise LookupError(f"no {workers} to be had")


@pytest.mark.parametrize(
    ("factory", "why"),
    [
        (str, "returned no executor but '1': have it return one, as concurrent.futures.ThreadPoolExecutor(workers)"),
        (none_to_be_had, "raised LookupError: no 1 to be had"),
    ],
)
def test_a_factory_that_makes_no_executor_is_what_is_told(factory: Callable[[int], Executor], why: str) -> None:
    tried = asyncio.run(probe("mine", from_executor(factory), len, ("",)))
    assert (tried.travels, tried.reason) == (False, f"its factory, called with 1, {why}")
