"""The article's script, run with shorter ticks and tasks."""

from __future__ import annotations

import ast
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gilscope.demo import script

from tests.support import child

pytestmark = pytest.mark.thorough

DEMO = Path(__file__).parents[2] / "python" / "demo.py"
HURRIED = f"""
import sys
sys.path.append({str(DEMO.parent)!r})
import demo

demo.TICK, demo.COUNT = 0.025, 100_000
if __name__ == "__main__":
    demo.script.main(demo.WORKERS, demo.run)
"""
CASES = [
    *(
        f"{worker}/{kernel}"
        for worker in ("blocking", "thread", "process")
        for kernel in ("python", "held", "released")
    ),
    "cooperative/python",
    "tokio/released",
]
ARTICLE = {"thread": " (the article, in Python: 13.1 ms)", "process": " (the article, in Python: 6.8 ms)"}
SECONDS_TO_WAIT = 60.0
"""Fail a test that waits longer than this for the script."""


def test_it_has_the_articles_functions_in_the_articles_order() -> None:
    tree = ast.parse(DEMO.read_text())
    functions = [node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef)]
    assert functions[:4] == ["ticker", "blocking_worker", "async_process_worker", "async_thread_worker"]


def test_it_fits_a_screen_and_a_half() -> None:
    assert len(DEMO.read_text().splitlines()) <= 90


def test_it_ticks_once_a_second_and_runs_the_installed_gilscope_and_not_the_source_beside_it(tmp_path: Path) -> None:
    shutil.copy(DEMO, tmp_path)
    (tmp_path / "gilscope.py").write_text("raise ImportError('this is the source')")
    command = [sys.executable, str(tmp_path / DEMO.name), "tokio", "--seconds", "0.5"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1] == "tokio/released: 1 of 1 ticks came"


def last_line_and_ticks(*arguments: str) -> tuple[str, int]:
    *times, last = child.output(HURRIED, *arguments)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{6})?", time) for time in times)
    return last, len(times)


@pytest.mark.parametrize("case", CASES)
def test_it_ends_with_the_ticks_that_came_of_those_due(case: str) -> None:
    worker, kernel = case.split("/")
    default = "released" if worker == "tokio" else "python"
    last, ticks = last_line_and_ticks(worker, *(["--kernel", kernel] if kernel != default else []), "--seconds", "0.25")
    drift = r", mean drift -?\d+\.\d ms a tick" if ticks > 1 else ""
    assert re.fullmatch(f"{case}: {ticks} of 10 ticks came{drift}" + re.escape(ARTICLE.get(worker, "")), last)
    assert ticks == 1 if worker == "blocking" else 1 <= ticks <= 10


def test_ticks_come_while_the_gil_is_released() -> None:
    # The first task takes a minute, so a second tick can only come while that task runs.
    with started(HURRIED.replace("100_000", "3_000_000_000"), "thread", "--kernel", "released") as process:
        assert process.stdout is not None
        assert [len(process.stdout.readline()) > 1 for _ in range(3)] == [True] * 3
        process.kill()


def test_without_arguments_it_runs_the_thread_worker_with_each_kernel() -> None:
    lines = child.output(HURRIED, "--seconds", "0.1")
    headings = [line for line in lines if line.startswith("thread/") and ":" not in line]
    ends = [line.split(":")[0] for line in lines if " ticks came" in line]
    assert headings == ends == ["thread/python", "thread/held", "thread/released"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("tokio --kernel held", "the tokio worker can run released, not held"),
        ("cooperative --kernel released", "the cooperative worker can run python, not released"),
        ("thread --kernel rust", "invalid choice: 'rust'"),
        ("threads", "invalid choice: 'threads'"),
        ("--kernel held", "--kernel needs a worker"),
        ("thread --seconds 0", "argument --seconds: '0' is too short: the shortest is 1ms"),
        ("thread --seconds nan", "argument --seconds: 'nan' is not a duration: write 0.05 (seconds), '50ms' or '2s'"),
        ("thread --seconds soon", "argument --seconds: 'soon' is not a duration"),
    ],
)
def test_bad_arguments_are_a_clear_error(
    arguments: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [DEMO.name, *arguments.split()])
    with pytest.raises(SystemExit) as ended:
        script.main(runpy.run_path(str(DEMO))["WORKERS"], lambda *_: None)
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert message in err.splitlines()[-1]


def started(source: str, *arguments: str) -> subprocess.Popen[str]:
    """Start the script in a process group of its own, as a shell does: Ctrl-C in a terminal reaches the whole group."""
    return subprocess.Popen(
        [sys.executable, "-c", source, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for_a_worker_process_of(pid: int) -> None:
    """Wait for the second child: the first is multiprocessing's resource tracker. The worker only begins to start."""
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while len(children_of(pid)) < 2:
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("case", "moment"),
    [
        *(pytest.param(case, 0.0, marks=() if "python" in case else pytest.mark.thorough) for case in CASES),
        *(("process/python", moment) for moment in (0.005, 0.02, 0.1, 0.5)),
    ],
)
def test_ctrl_c_ends_it_without_a_traceback(case: str, moment: float) -> None:
    worker, kernel = case.split("/")
    with started(HURRIED, worker, "--kernel", kernel, "--seconds", "3600") as process:
        assert process.stdout is not None
        process.stdout.readline()
        if worker == "process":
            wait_for_a_worker_process_of(process.pid)
            time.sleep(moment)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=SECONDS_TO_WAIT)
    assert (process.returncode, errors) == (130, "")


def test_ctrl_c_also_skips_the_kernels_still_to_come() -> None:
    with started(HURRIED, "--seconds", "3600") as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["\n", "thread/python\n"]
        process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=SECONDS_TO_WAIT)
    assert (process.returncode, errors, "thread/held" in output) == (130, "", False)
