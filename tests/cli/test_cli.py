import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from gilscope.cli import main
from gilscope.demo.cases import CASES
from gilscope.records.result import Result, Trial

from tests.support.child import wait_until_gone

pytestmark = pytest.mark.thorough

HELP = Path(__file__).parent / "help"
OfTwoCases = tuple["subprocess.CompletedProcess[str]", Path]


def gilscope(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "80"}
    command = [sys.executable, "-m", "gilscope", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=250)


def status(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    return code, *capsys.readouterr()


def test_the_two_ways_to_call_it_are_one_command() -> None:
    script = Path(sys.executable).with_name("gilscope")
    by_script = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    by_module = gilscope("--version")
    assert by_script.stdout == by_module.stdout
    assert by_module.stdout.startswith("gilscope, version ")


@pytest.mark.parametrize("command", ["", "attach", "check", "compare", "demo", "report", "top", "watch"])
def test_the_help_is_what_was_reviewed(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    expected = HELP / f"{command or 'gilscope'}.txt"
    assert status(capsys, *command.split(), "--help") == (0, expected.read_text(), "")


def test_the_cases_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = status(capsys, "demo", "--list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [case.name for case in CASES]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--case", "thread/gil"], "no case matches 'thread/gil'; the cases are: inline/python"),
        (["--case", "idle"], "idle is measured in every run; choose from the cases: inline/python, "),
        (["--seconds", "nan"], "Invalid value for '--seconds': 'nan' is not a duration"),
        (["--seconds", "0"], "Invalid value for '--seconds'"),
        (["--seconds", "-1"], "Invalid value for '--seconds'"),
        (["--tick", "inf"], "Invalid value for '--tick': 'inf' is not a duration"),
        (["--concurrency", "0"], "Invalid value for '--concurrency'"),
        (["--count", "1e6"], "Invalid value for '--count'"),
        (["--seconds", "5", "--timeout", "5"], "--timeout (5 s) must be longer than --seconds (5 s)"),
        (["--json", "no/such/folder/r.json"], "cannot write no/such/folder/r.json"),
        (["--json", "."], "cannot write ."),
        (["--tick", "2"], "--tick (2 s) must be shorter than --seconds (2 s): no tick would fall into the run"),
        (["--jsn", "x"], "No such option"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    code, out, err = status(capsys, "demo", *arguments)
    assert (code, out) == (2, "")
    assert complaint in err


@pytest.fixture(scope="module")
def of_two_cases(tmp_path_factory: pytest.TempPathFactory) -> OfTwoCases:
    """Run a demo, and return it with its result's file; several tests look at sides of it."""
    file = tmp_path_factory.mktemp("demo") / "r.json"
    cases = ("--case", "thread/released", "--case", "inline/held")
    demo = gilscope("demo", *cases, "--seconds", "0.2", "--json", str(file))
    assert demo.returncode == 0
    return demo, file


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, run_of: Callable[..., Result], finished: Callable[..., Trial]) -> None:
    """Let the demo show a result that was measured before."""
    monkeypatch.setattr("gilscope.cli.demo._run", lambda *_: run_of(finished("thread/released")))


def test_a_report_is_the_demos_table_again(of_two_cases: OfTwoCases) -> None:
    demo, file = of_two_cases
    assert demo.stdout.startswith("gilscope demo: 2 tasks at once")
    assert gilscope("report", str(file)).stdout == demo.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
@pytest.mark.usefixtures("measured")
def test_the_table_is_printed_even_if_the_file_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = status(capsys, "demo", "--json", "/dev/full")
    assert (code, "thread/released" in out) == (3, True)
    assert err.splitlines()[-1] == "Error: cannot write /dev/full: No space left on device"


def test_a_reader_of_stdout_that_has_gone_costs_no_file(of_two_cases: OfTwoCases, tmp_path: Path) -> None:
    """`gilscope demo -o FILE | head`."""
    reader, stdout = os.pipe()
    os.close(reader)
    file = tmp_path / "again.json"
    command = [sys.executable, "-m", "gilscope", "report", str(of_two_cases[1]), "-o", str(file)]
    ended = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, check=False)
    os.close(stdout)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert file.read_bytes() == of_two_cases[1].read_bytes()


def test_output_to_a_pipe_has_no_trailing_blanks(of_two_cases: OfTwoCases) -> None:
    demo, _ = of_two_cases
    assert [line for line in demo.stdout.splitlines() if line != line.rstrip()] == []


@pytest.mark.usefixtures("measured")
def test_json_on_stdout_is_the_only_output(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = status(capsys, "demo", "--json", "-")
    assert [trial["case"] for trial in json.loads(out)["trials"]] == ["thread/released"]


def test_without_a_terminal_each_case_is_a_line_on_stderr(of_two_cases: OfTwoCases) -> None:
    demo, _ = of_two_cases
    assert [line.partition(":")[0] for line in demo.stderr.splitlines()] == ["idle", "inline/held", "thread/released"]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("wach", "no such command: 'wach'. Did you mean gilscope watch?"),
        ("reports", "no such command: 'reports'. Did you mean gilscope report?"),
        ("Check", "no such command: 'Check'. Did you mean gilscope check?"),
        ("x", "no such command: 'x'. The commands are demo, check, compare, watch, attach, top and report."),
        ("app.py", "'app.py' is not a command. To run and watch it, write gilscope watch app.py"),
    ],
)
def test_an_unknown_command_is_answered_with_the_one_that_was_meant(
    capsys: pytest.CaptureFixture[str], name: str, answer: str
) -> None:
    code, out, err = status(capsys, name)
    assert (code, out) == (2, "")
    assert answer in err


def test_a_report_of_something_else_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = status(capsys, "report", str(tmp_path / "absent.json"))
    assert (code, out) == (2, "")
    assert "cannot read" in err


def test_a_case_past_its_time_limit_is_reported_and_the_others_go_on() -> None:
    demo = gilscope(
        *("demo", "--case", "thread/held", "--case", "tokio/released"),
        *("--seconds", "0.1", "--count", str(2**62), "--timeout", "1.5"),
    )
    assert demo.returncode == 3
    for case in ("thread/held", "tokio/released"):
        assert f"{case} timed out: not done after 1.5 s" in demo.stdout


def children_of(pid: int) -> list[int]:
    """Return the children of a process, by Linux's own list."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def strategy_of(child: int) -> str:
    """Return the strategy that a child of the demo runs, by the request that it was given."""
    try:
        asked = Path(Path(f"/proc/{child}/cmdline").read_text().split("\0")[-3])
        return str((json.loads(asked.read_bytes())["argument"].get("strategy") or {}).get("name", ""))
    except (OSError, ValueError, LookupError, AttributeError):  # it is about to start or to end
        return ""


def running(strategy: str, *arguments: str) -> tuple["subprocess.Popen[str]", int]:
    """Start a demo and return it with the process of the case that has ``strategy``, once that runs."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "gilscope", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    while demo.poll() is None:
        for child in children_of(demo.pid):
            if strategy_of(child) == strategy:
                return demo, child
        time.sleep(0.005)
    pytest.fail(f"the demo ended without a case of {strategy}: {demo.communicate()}")


def test_a_case_that_dies_is_reported_with_its_reason_and_the_others_go_on() -> None:
    demo, case = running("thread", "--case", "thread/python", "--case", "process/python", "--seconds", "0.5")
    os.kill(case, signal.SIGKILL)
    out, _ = demo.communicate(timeout=120)
    assert demo.returncode == 3
    assert "thread/python died: killed by SIGKILL" in out
    row = next(line for line in out.splitlines() if line.startswith("process/python"))
    assert int(row.split()[1].partition("/")[0]) > 0


@pytest.mark.parametrize("case", ["process/python", "thread/held"])
def test_ctrl_c_ends_the_children_prints_what_is_finished_and_exits_130(case: str) -> None:
    strategy = case.partition("/")[0]
    demo, child = running(strategy, "--case", case, "--seconds", "0.5", "--count", str(2**62))
    deadline = time.monotonic() + 60
    while case == "process/python" and len(children_of(child)) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)  # two workers, and multiprocessing's resource tracker
    family = [child, *children_of(child)]
    demo.send_signal(signal.SIGINT)
    out, err = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert "idle" in out
    assert "Interrupted: the remaining cases did not run." in out
    assert "Traceback" not in err
    for pid in family:
        wait_until_gone(pid)


def test_a_terminated_demo_leaves_no_process_behind() -> None:
    demo, child = running("thread", "--case", "thread/held", "--seconds", "0.5", "--count", str(2**62))
    demo.send_signal(signal.SIGTERM)
    demo.communicate(timeout=60)
    assert demo.returncode == 128 + signal.SIGTERM
    wait_until_gone(child)
