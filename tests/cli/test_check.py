import json
import os
import pty
import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import pytest
from gilscope.checks import statement
from gilscope.checks.statement_child import StatementAnswer
from gilscope.cli import Source, main
from gilscope.isolated.supervise import Outcome
from gilscope.records.verdict import Verdict

needs_gil = pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="there is no GIL to hog, yield or release"
)
HOLD = ("-s", "import ctypes; hold = ctypes.PyDLL(None).usleep", "hold(20_000)")
SLEEP = ("-s", "import time", "time.sleep(0.01)")


def check(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command for 0.1 s a statement, if the arguments do not ask for more."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "gilscope", "check", "--time", "0.1", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
    )


def verdicts(done: subprocess.CompletedProcess[str]) -> list[Verdict]:
    return [Verdict.from_json(json.dumps(one)) for one in json.loads(done.stdout)]


@needs_gil
def test_the_verdict_is_printed_in_sentences_and_meets_or_misses_an_expectation_and_a_limit() -> None:
    met = check("--expect", "yields,hogs", "--max-hold", "2s", *HOLD)
    assert (met.returncode, met.stderr) == (0, "")
    assert re.match(r"hogs: while `hold\(20_000\)` ran \(2\d\.\d ms a call\), a thread", met.stdout)
    assert len(met.stdout.splitlines()) == 2
    missed = check("--expect", "yields, undecided", "--max-hold", "5ms", *HOLD)
    assert missed.returncode == 1
    assert missed.stdout.count("longest hold") == 1
    unexpected, too_long = missed.stderr.splitlines()
    assert unexpected == "expected that `hold(20_000)` yields or is undecided, but it hogs"
    stalls = r"`hold\(20_000\)` stalls an event loop in its process for [\d.]+ ms; the limit is 5.00 ms"
    assert re.fullmatch(stalls, too_long)


def test_an_expectation_that_is_no_verdict_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--expect", "relases", "1"]) == 2
    assert "'relases' is not one of releases, yields, hogs, undecided" in capsys.readouterr().err


@needs_gil
def test_json_is_a_list_of_verdicts_for_one_statement_too() -> None:
    (verdict,) = verdicts(check("--json", *SLEEP))
    assert verdict.kind == "releases"


@needs_gil
def test_a_statement_that_raises_among_several_costs_only_its_own_row() -> None:
    several = ("-s", "import time", "time.sleep(0.01)", "1/0", "time.slep(0.01)")
    done = check(*several, "--expect", "releases")
    assert done.returncode == 2
    rows = [line.split()[:2] for line in done.stdout.splitlines()[1:4]]
    assert rows == [["time.sleep(0.01)", "releases"], ["1/0", "failed"], ["time.slep(0.01)", "failed"]]
    assert "`1/0`: failed: ZeroDivisionError: division by zero\n" in done.stdout
    assert done.stderr.count("Traceback") == 2
    listed = json.loads(check(*several, "--json").stdout)
    assert [one["record"] for one in listed] == ["verdict", "failed check", "failed check"]
    assert [one.get("failure") for one in listed] == [None, "raised", "raised"]
    assert listed[1]["reason"] == "ZeroDivisionError: division by zero"


@needs_gil
def test_several_statements_make_a_table_which_says_why_one_is_undecided() -> None:
    twice = "time.sleep(0.01)\ntime.sleep(0.01)"
    done = check("--expect", "hogs", "-s", f"import time; {HOLD[1]}", twice, HOLD[2], "pass")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "expected that `time.sleep(0.01) ...` hogs, but it releases",
        "expected that `pass` hogs, but the verdict is undecided",
    ]
    head, *rows = done.stdout.splitlines()[:4]
    assert head.split()[:3] == ["statement", "verdict", "released"]
    kinds = {"releases", "hogs", "undecided"}
    assert [kind for row in rows for kind in row.split() if kind in kinds] == ["releases", "hogs", "undecided"]
    printed = " ".join(done.stdout.split())
    assert "`pass`: undecided (too short): a call takes" in printed
    assert "Do more work in each call, 2 ms or more." in printed
    assert "`hold(20_000)`: " not in printed


@needs_gil
def test_a_terminal_breaks_lines_between_words_and_a_pipe_breaks_none() -> None:
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "gilscope", "check", "--time", "0.1", *HOLD]
    done = subprocess.run(command, stdout=its, timeout=120, check=False, env={**os.environ, "COLUMNS": "40"})
    os.close(its)
    lines = os.read(ours, 10_000).decode().splitlines()
    os.close(ours)
    assert done.returncode == 0
    assert max(map(len, lines)) <= 40
    assert "An event loop in this process stalls that long." in " ".join(line.strip() for line in lines)


def test_a_module_in_the_working_directory_is_found_but_does_not_replace_the_standard_librarys(tmp_path: Path) -> None:
    (tmp_path / "mymod.py").write_text("from time import sleep\n")
    for name in ("queue", "tokenize", "threading", "tempfile", "platform", "statistics"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this one is the user's')\n")
    done = check("-s", "import mymod", "mymod.sleep(0.01)", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    failed = check("-s", "import mymod", "mymod.nothing()", cwd=tmp_path)
    assert failed.stderr.splitlines()[-1] == "AttributeError: module 'mymod' has no attribute 'nothing'"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((b"",), "there is nothing to run"),
        ((b"  \n",), "there is nothing to run"),
        ((b'x = "\xff"',), "not UTF-8 text"),
        ((b"-s", b'x = "\xff"', b"pass"), "not UTF-8 text"),
        ((b"--time", b"2", b"--timeout", b"1", b"pass"), "must be longer than --time"),
        ((b"--time", b"1", b"--timeout", b"1", b"pass"), "must be longer than --time"),
        ((b"--time", b"5 days", b"pass"), "'5 days' is not a duration: write 0.05 (seconds), '50ms' or '2s'"),
        ((b"open('ran', 'w')", b"1 +"), '`1 +` cannot be run:\n  File "<statement>", line 1\n'),
    ],
)
def test_invalid_source_and_limits_are_refused_before_anything_starts(
    arguments: tuple[bytes, ...], why: str, tmp_path: Path
) -> None:
    command = [sys.executable.encode(), b"-P", b"-m", b"gilscope", b"check", *arguments]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert why in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_nul_character_is_refused() -> None:
    with pytest.raises(click.BadParameter, match="cannot contain a NUL character"):
        Source().convert("x = '\0'", None, None)


@pytest.mark.parametrize("copy_does", ["pass", "1 / 0", "raise SystemExit(3)"])
@pytest.mark.parametrize("where", ["setup", "statement"])
def test_the_copies_that_a_statement_forks_do_not_go_on_with_the_check(
    where: str, copy_does: str, tmp_path: Path
) -> None:
    setup = "import os, time, warnings; warnings.simplefilter('ignore'); noted = open('noted', 'ab', 0)"
    note = "noted.write(b'%d\\n' % os.getpid())"
    fork = f"copy = not os.fork(); {note}; time.sleep(0.01)\nif copy: {copy_does}"
    code = ("-s", fork, f"{note}; time.sleep(0.01)") if where == "setup" else (fork,)
    done = check("--json", "--time", "0.2", "-s", setup, *code, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    counts = Counter((tmp_path / "noted").read_text().split())
    calls = verdicts(done)[0].calls
    (_, of_the_first), *copies = counts.most_common()
    assert of_the_first == calls + (where == "setup")
    assert copies
    assert all(count == 1 for _, count in copies)


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
def test_exceptions_of_the_users_code_are_shown_without_our_frames(arguments: tuple[str, ...], last: str) -> None:
    done = check(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == last
    assert "gilscope" not in done.stderr
    assert done.stderr.startswith(f"Error: `{arguments[-1]}` cannot be run:\n")
    assert '"<setup>"' in done.stderr or '"<statement>"' in done.stderr


def test_a_statement_whose_value_nothing_runs_is_refused_with_what_to_write() -> None:
    setup = "async def f(): pass\ndef g(): yield 1\nfrom time import sleep\ndef h(): sleep(0.002); return g()"
    done = check("-s", setup, "f()", "g()", "h()")
    assert done.returncode == 2
    assert done.stderr == (
        "Error: `f()` cannot be run:\nits value is a coroutine, which nothing runs: write asyncio.run(f())\n"
        "Error: `g()` cannot be run:\nits value is a generator, which nothing runs: write list(g())\n"
    )
    assert [line.split()[1] for line in done.stdout.splitlines()[1:4]] == ["failed", "failed", "releases"]


def test_the_users_lines_are_shown() -> None:
    stderr = check("-s", "def f():\n    return 1 / 0", "f()").stderr
    assert "    return 1 / 0\n           ~~^~~\n" in stderr


def test_the_signal_that_ends_the_process_is_reported() -> None:
    done = check("import os; os.abort()")
    assert done.returncode == 2
    assert "killed by SIGABRT" in done.stderr


def test_the_output_of_the_statement_goes_to_stderr() -> None:
    done = check("--json", "-s", "print('hello from the setup')", *SLEEP)
    assert "hello from the setup" in done.stderr
    assert json.loads(done.stdout)


CONNECTION = """
import os, threading, time
class Connection:  # as duckdb's, it belongs to the thread that made it
    def __init__(self):
        self.owner = threading.get_ident()
    def __del__(self, ident=threading.get_ident, abort=os.abort):
        if ident() != self.owner:
            abort()
c = Connection()
"""


@needs_gil
@pytest.mark.parametrize("end", ["", "import atexit; atexit.register(os.abort)"])
def test_an_answer_that_was_measured_is_not_lost_however_the_process_ends(end: str) -> None:
    done = check("-s", f"{CONNECTION}{end}", "c; time.sleep(0.005)")
    assert (done.returncode, done.stdout[:9]) == (0, "releases:")


def test_a_setup_that_takes_all_the_time_is_bad_input_in_one_sentence() -> None:
    setup = """
import json, sys, time
time.sleep(json.load(open(sys.argv[1]))["argument"]["deadline"] - 0.028 - time.monotonic())
"""
    done = check("--time", "0.2", "--timeout", "1.5", "-s", setup, "pass")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr in {
        "Error: `pass` could not be judged within 1.5 s: raise --timeout. The setup left no time for a call.\n",
        "Error: the setup was still running after 1.5 s: raise --timeout\n",  # where waking up takes longer than 28 ms
    }


def test_an_error_of_our_own_is_exit_status_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = StatementAnswer(internal_error="Traceback: ours")
    monkeypatch.setattr(statement, "ask", lambda *_, **__: Outcome("finished", answer, "", ""))
    assert main(["check", "--expect", "releases", "1 + 1"]) == 3
    assert "This is a bug in gilscope, not an answer about your code" in capsys.readouterr().err


BRIEF = "import ctypes; hold, brief = ctypes.PyDLL(None).usleep, ctypes.CDLL(None).getppid\ndef pieces(): hold(500); brief()"
ENDLESS = [
    ("import gilscope", "gilscope.countdown_held(2**62)", "hogs", ""),
    ("import ctypes", "ctypes.PyDLL(None).sleep(1000)", "hogs", "deadlock"),
    ("import time", "time.sleep(1000)", "releases", ""),
    ("", "while True: pass", "yields", ""),
]
if len(os.sched_getaffinity(0)) > 1:
    ENDLESS.append((BRIEF, "while True: pieces()", "hogs", "brief releases"))


def judged(setup: str, code: str, kind: str, reason: str) -> None:
    done = check("--timeout", "4", "--json", "--time", "0.5", "--expect", kind, "-s", setup, code)
    (verdict,) = verdicts(done)
    assert (done.returncode, verdict.kind, verdict.reason, verdict.endless) == (0, kind, reason, True), code
    assert "ran (stopped after" in str(verdict)
    if kind == "hogs":
        assert verdict.longest_wait is not None
        assert verdict.longest_wait > 0.05  # ten switch intervals: code that yields makes nobody wait for more than one
    computes = "countdown" in code or "pass" in code
    assert (verdict.cpu > 0.3) is computes


@needs_gil
@pytest.mark.parametrize("at_once", [ENDLESS[:3], ENDLESS[3:]], ids=["without a release", "with releases"])
def test_statements_that_do_not_end_are_stopped_and_judged(at_once: list[tuple[str, str, str, str]]) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(len(at_once)) as pool:
        list(pool.map(judged, *zip(*at_once, strict=True)))
    assert time.monotonic() - began < 60


def test_a_deadline_that_passes_before_the_statement_runs_says_which_option_to_raise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a machine so busy that starting the process took until then."""
    monkeypatch.setattr(statement, "ask", lambda *_, **__: Outcome("finished", StatementAnswer(), "", ""))
    with pytest.raises(statement.StatementError, match="`1 \\+ 1` could not be judged within 3 s: raise --timeout"):
        statement.check_statement("1 + 1", setup="", time=0.5, timeout=3)


def test_an_endless_setup_is_reported() -> None:
    done = check("--timeout", "1", "-s", "import time; time.sleep(1000)", "pass")
    assert done.returncode == 2
    assert done.stderr == "Error: the setup was still running after 1 s: raise --timeout\n"
