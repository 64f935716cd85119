import json
import subprocess
import sys
import time

import pytest
from gilscope.verdict import Verdict

needs_gil = pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="there is no GIL to hog, yield or release"
)
HOLD = ("-s", "import ctypes; hold = ctypes.PyDLL(None).usleep", "hold(20_000)")
SLEEP = ("-s", "import time", "time.sleep(0.01)")


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gilscope", "check", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@needs_gil
def test_the_verdict_is_printed_in_sentences_and_is_no_failure() -> None:
    done = check(*HOLD)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("hogs: while hold(20_000) ran (20.")


@needs_gil
def test_json_is_a_verdict() -> None:
    done = check("--json", *SLEEP)
    assert Verdict.from_json(done.stdout).kind == "releases"


@needs_gil
def test_several_statements_make_a_table_or_a_list() -> None:
    two = ("-s", "import time, ctypes", "time.sleep(0.01)", "ctypes.PyDLL(None).usleep(20_000)")
    table = check(*two).stdout.splitlines()
    assert table[0].split()[:3] == ["statement", "verdict", "released"]
    assert any("releases" in line for line in table)
    assert any("hogs" in line for line in table)
    assert [verdict["kind"] for verdict in json.loads(check("--json", *two).stdout)] == ["releases", "hogs"]


@needs_gil
def test_an_expected_verdict_is_success_and_another_failure_with_the_evidence() -> None:
    assert check("--expect", "releases", *SLEEP).returncode == 0
    other = check("--expect", "releases", *HOLD)
    assert other.returncode == 1
    assert other.stderr.startswith("expected that it releases, but: hogs: while hold(20_000) ran")
    assert "longest hold" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "last"),
    [
        (("-s", "import json\nx = = 1", "pass"), "SyntaxError: invalid syntax"),
        (("1 +",), "SyntaxError: invalid syntax"),
        (("-s", "import no_such_module", "pass"), "ModuleNotFoundError: No module named 'no_such_module'"),
        (("-s", "def f():\n    return 1 / 0", "f()"), "ZeroDivisionError: division by zero"),
        (("raise SystemExit(3)",), "SystemExit: 3"),
    ],
)
def test_what_the_users_code_raises_is_shown_without_our_frames(arguments: tuple[str, ...], last: str) -> None:
    done = check(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == last
    assert "gilscope" not in done.stderr
    assert '"<setup>"' in done.stderr or '"<statement>"' in done.stderr


def test_the_users_lines_are_shown() -> None:
    assert "    return 1 / 0" in check("-s", "def f():\n    return 1 / 0", "f()").stderr


def test_what_ends_the_process_is_told() -> None:
    done = check("import os; os.abort()")
    assert done.returncode == 2
    assert "killed by SIGABRT" in done.stderr


def test_what_the_statement_prints_is_not_taken_for_data() -> None:
    done = check("--json", "-s", "print('hello from the setup')", *SLEEP)
    assert "hello from the setup" in done.stderr
    assert json.loads(done.stdout)


ENDLESS = [
    (("-s", "import gilscope", "gilscope.countdown_held(2**62)"), "hogs"),
    (("-s", "import ctypes", "ctypes.PyDLL(None).sleep(1000)"), "hogs"),
    (("-s", "import time", "time.sleep(1000)"), "releases"),
    (("while True: pass",), "yields"),
]


@needs_gil
@pytest.mark.parametrize(("arguments", "kind"), ENDLESS, ids=[arguments[-1] for arguments, _ in ENDLESS])
def test_a_statement_that_does_not_end_is_ended_and_judged(arguments: tuple[str, ...], kind: str) -> None:
    began = time.monotonic()
    done = check("--timeout", "2.5", "--json", *arguments)
    assert time.monotonic() - began < 60
    verdict = Verdict.from_json(done.stdout)
    assert (done.returncode, verdict.kind, verdict.endless) == (0, kind, True)
    if kind == "hogs":
        assert verdict.longest_hold is not None
        assert verdict.longest_hold > 1.0


@needs_gil
def test_a_hog_without_end_is_a_hog_to_expect() -> None:
    arguments = ENDLESS[1][0]
    assert check("--timeout", "2", "--expect", "hogs", *arguments).returncode == 0
    other = check("--timeout", "2", "--expect", "releases", *arguments)
    assert other.returncode == 1
    assert "it was ended after" in other.stderr


def test_a_setup_without_end_is_told() -> None:
    done = check("--timeout", "1", "-s", "import time; time.sleep(1000)", "pass")
    assert done.returncode == 2
    assert "setup" in done.stderr
