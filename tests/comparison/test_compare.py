"""``gilscope.compare`` and ``gilscope compare`` from end to end."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import gilscope
import msgspec
import pytest
from gilscope.cli import main
from gilscope.records import codec, read
from gilscope.records.result import Result
from gilscope.records.verdict import sentences

from tests.support.shadowing import shadow_the_standard_library

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.thorough

SHORT: dict[str, Any] = {"seconds": 0.1}


def strategies_of(result: Result) -> list[str]:
    return list(dict.fromkeys(trial.strategy for trial in result.trials))


def cli(*arguments: str, timeout: float = 200) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gilscope", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture(scope="module")
def of_a_short_call() -> Result:
    """Compare one under the usual strategies and three of the user's own; several tests look at sides of it."""
    own: dict[str, Any] = {
        "pickles": concurrent.futures.ThreadPoolExecutor,
        "stays": lambda workers: concurrent.futures.ThreadPoolExecutor(workers, "mine"),
        "is none": lambda workers: workers,
    }
    return gilscope.compare(len, "", strategies=own, **SHORT)


def test_a_short_call_belongs_on_the_loop(of_a_short_call: Result) -> None:
    assert of_a_short_call.recommendation.where == "inline"
    assert strategies_of(of_a_short_call)[:3] == ["inline", "thread", "process"]
    assert all(trial.status == "finished" for trial in of_a_short_call.trials)


def test_a_sleep_belongs_in_threads_that_wait() -> None:
    result = gilscope.compare(time.sleep, 0.05, strategies=["inline", "thread"], **SHORT)
    assert result.recommendation.where == "thread"
    assert "it_waits" in [finding.name for finding in result.recommendation.findings]


def test_a_closure_runs_in_the_callers_process_and_says_so() -> None:
    count = 2_000_000

    def countdown() -> int:
        return gilscope.countdown_python(count)

    result = gilscope.compare(countdown, **SHORT)
    assert result.comparison is not None
    assert {trial.supervised for trial in result.trials} == {False}
    assert strategies_of(result) == ["inline", "thread"]
    assert "countdown" in result.comparison.in_process_reason
    assert "process left out" in str(result)
    assert "in the caller's process, unsupervised" in str(result)


def test_a_users_executors_are_compared_after_the_usual_strategies(of_a_short_call: Result) -> None:
    assert strategies_of(of_a_short_call)[-2:] == ["pickles", "stays"]


def test_an_executor_that_cannot_be_pickled_runs_in_this_process(of_a_short_call: Result) -> None:
    unsupervised = {trial.strategy for trial in of_a_short_call.trials if not trial.supervised}
    assert unsupervised == {"stays"}


def test_a_strategy_without_an_executor_is_left_out(of_a_short_call: Result) -> None:
    assert "is none left out: its factory, called with 1, returned 1, which is not an executor" in str(of_a_short_call)
    assert "is none" not in strategies_of(of_a_short_call)


def test_an_exit_that_the_call_raises_ends_its_trial_and_not_the_comparison() -> None:
    def exits_beside_a_ticker() -> None:
        try:
            tasks = len(asyncio.all_tasks())
        except RuntimeError:  # no loop in this thread
            tasks = 0
        if tasks > 1:
            raise SystemExit(4)

    result = gilscope.compare(exits_beside_a_ticker, strategies=["inline", "thread"], **SHORT)
    ended = {(trial.strategy, trial.status, trial.reason) for trial in result.trials}
    assert ended == {("inline", "died", "SystemExit: 4"), ("thread", "finished", "")}


def test_an_exception_of_the_call_is_raised_unchanged() -> None:
    with pytest.raises(json.JSONDecodeError):
        gilscope.compare(json.loads, "{")


async def a_coroutine() -> None:
    pass


@pytest.mark.parametrize(
    ("arguments", "options", "error", "complaint"),
    [
        ((3,), {}, TypeError, "callable"),
        ((a_coroutine,), {}, TypeError, "coroutine"),
        ((len, ""), {"budget": float("nan")}, ValueError, "budget: nan is not a duration"),
        ((len, ""), {"budget": float("inf")}, ValueError, "budget: inf is not a duration"),
        ((len, ""), {"seconds": None}, TypeError, "seconds: None is not a duration"),
        ((len, ""), {"budget": 10}, ValueError, "budget: 10 without a unit is 10 seconds: write '10ms'"),
        ((len, ""), {"strategies": []}, ValueError, "give at least one strategy"),
        ((len, ""), {"strategies": "thread"}, TypeError, r"a list of names, such as \['thread'\], .*, not 'thread'"),
        ((len, ""), {"strategies": None}, TypeError, "a list of names, .*, not None"),
        ((len, ""), {"strategies": 5}, TypeError, "a list of names, .*, not 5"),
        ((len, ""), {"seconds": 5, "timeout": 5}, ValueError, r"timeout \(5 s\) must be longer than seconds \(5 s\)"),
        ((len, ""), {"seconds": 0}, ValueError, "seconds: 0 is too short: the shortest is 1ms"),
        (
            (len, ""),
            {"strategies": ["thred"]},
            ValueError,
            "no strategy is called 'thred'; known strategies: inline, thread",
        ),
        ((len, ""), {"strategies": {"thread": list}}, ValueError, "'thread' is the name of a built-in strategy"),
        (
            (len, ""),
            {"strategies": {"mine": 3}},
            TypeError,
            "must be a callable that takes the number of workers and returns an executor",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(
    arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        gilscope.compare(*arguments, **options)


def test_a_result_is_the_same_again_from_its_json(of_a_short_call: Result, tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    codec.write(of_a_short_call, file)
    assert read.read(file) == of_a_short_call
    assert str(read.read(file)) == str(of_a_short_call)


def test_the_command_sends_the_names_of_the_statement_and_puts_the_verdict_on_top(tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    setup = "import zlib; data = [bytes(3_000_000)]"
    ran = cli(
        "compare",
        "-s",
        setup,
        "zlib.crc32(data[0][:])",
        "--strategy",
        "process",
        "--seconds",
        "0.2",
        "--json",
        str(file),
    )
    assert ran.returncode == 0, ran.stderr
    result = read.read(file)
    assert isinstance(result, Result)
    comparison = result.comparison
    assert comparison is not None
    trip = comparison.round_trips[0]
    assert trip.works, trip.reason
    assert trip.answer == "same"
    assert trip.argument_bytes is not None
    assert trip.argument_bytes > 3_000_000
    shown = " ".join(ran.stdout.split())
    assert shown.index(sentences(comparison.verdict)[0]) < shown.index("where ticks")
    assert "`zlib.crc32(data[0][:])`" in shown  # its brackets are not taken for rich's markup


def test_modules_in_the_working_directory_are_found_in_every_kind_of_worker_and_shadow_none_of_what_it_needs(
    tmp_path: Path,
) -> None:
    shadow_the_standard_library(tmp_path, but=("math",))
    (tmp_path / "mine.py").write_text("def f():\n    return 3\n")
    setup = "import math, mine\ndef root(n):\n    return math.sqrt(n)"
    command = [sys.executable, "-P", "-m", "gilscope", "compare", "-s", setup, "-s", "n = 4", "root(n) + mine.f()"]
    ran = subprocess.run(
        [*command, "--seconds", "0.1", "--json", "-"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    trips = {trip["strategy"]: trip for trip in json.loads(ran.stdout)["comparison"]["round_trips"]}
    wanted = {"inline", "thread", "process"} | ({"interpreter"} if sys.version_info >= (3, 14) else set())
    assert {name for name, trip in trips.items() if trip["failure"] is None} == wanted
    assert {trips[name]["answer"] for name in wanted} == {"same"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["1 +"], "SyntaxError|invalid syntax"),
        (["1", "--strategy", "thred"], "no strategy is called 'thred'"),
        (["1", "--json", "no/such/folder/r.json"], "cannot write no/such/folder/r.json"),
        (["1", "--seconds", "5", "--timeout", "5"], "must be longer than --seconds"),
        (
            ["1", "--seconds", "0.1", "--timeout", "0.5"],
            "must be longer than the 0.5 s for which the verdict is measured",
        ),
        ([""], "'STATEMENT': the source is empty"),
        (["1\0"], "'STATEMENT': Python source cannot contain a NUL character"),
        (["'\udcff'"], "'STATEMENT': not UTF-8 text"),
        (["1", "-s", "'\udcff'"], "'--setup': not UTF-8 text"),
        (["1", "-s", "1\0"], "'--setup': Python source cannot contain a NUL character"),
        (["1", "--budget", "nan"], "'nan' is not a duration"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(complaint, err), err


def test_a_statement_that_fails_in_its_first_call_shows_the_users_traceback_alone() -> None:
    ran = cli("compare", "-s", "def f(n): return 1 / n", "f(0)")
    assert ran.returncode == 2
    assert "ZeroDivisionError" in ran.stderr
    assert "gilscope/" not in ran.stderr
    assert ran.stdout == ""


def test_a_statement_whose_setup_works_only_once_is_judged_and_has_no_trial(tmp_path: Path) -> None:
    setup = f"import os; os.mkdir({str(tmp_path / 'once')!r})"
    done = cli("compare", "--strategy", "inline", "-s", setup, "sum(range(10**6))", "--seconds", "0.2")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)  # no trial has succeeded
    assert "inline left out: a new process cannot load it: FileExistsError: " in done.stdout
    assert "in the caller's process" not in done.stdout


def test_a_worker_that_dies_is_quoted_by_its_last_line_and_its_strategy_not_recommended() -> None:
    setup = "import multiprocessing as m\nif m.parent_process(): raise LookupError('no such\\ntable')"
    done = cli("compare", "--strategy", "process", "-s", setup, "sum(range(10**6))", "--seconds", "0.1", "--json", "-")
    assert done.returncode == 3
    result = msgspec.json.decode(done.stdout, type=Result)
    assert result.comparison is not None
    assert result.comparison.round_trips[0].failure == "worker died"
    assert result.comparison.round_trips[0].reason.endswith(" The worker: LookupError: no such")
    assert result.recommendation.where != "process"


def test_a_statement_that_never_ends_is_judged_and_not_compared_and_stdout_has_only_the_json_asked_for() -> None:
    endless = ("compare", "-s", "import gilscope", "gilscope.countdown_held(2**63)", "--timeout", "1.5")
    ran = cli(*endless, "--json", "-")
    assert ran.returncode == 3
    assert "A statement that does not end cannot be compared." in ran.stderr
    result = msgspec.json.decode(ran.stdout, type=Result)
    assert result.comparison is not None
    assert (result.comparison.verdict.kind, result.comparison.verdict.endless) == ("hogs", True)
    assert result.trials == []
    assert result.recommendation.claim == "Give the call an end before you decide where it runs."
    assert result.recommendation.claim in str(result)


def test_a_strategy_that_this_python_lacks_is_refused_if_it_is_the_only_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gilscope.comparison.api.unavailable", lambda name: "is unavailable" * (name == "interpreter"))
    assert main(["compare", "1", "--strategy", "interpreter"]) == 2
    assert "interpreter is unavailable" in capsys.readouterr().err


def test_the_dask_extra_to_install_is_named_if_it_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert main(["compare", "1", "--strategy", "dask"]) == 2
    assert "pip install 'gilscope[dask]'" in capsys.readouterr().err


def test_ctrl_c_shows_what_is_measured_and_exits_130() -> None:
    command = [
        sys.executable,
        "-m",
        "gilscope",
        "compare",
        "1",
        "--seconds",
        "0.5",
        "--strategy",
        "inline",
        "--json",
        "-",
    ]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    assert [running.stderr.readline().partition(":")[0] for _ in range(2)] == ["idle", "inline x1"]
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert json.loads(out)["interrupted"]
