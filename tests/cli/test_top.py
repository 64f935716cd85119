"""`gilscope top` and `gilscope watch --top`, on real processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from gilscope.attach.refusal import CannotAttach
from gilscope.cli import main, watch_top

from tests.top.on_terminal import ALTERNATE, USUAL, OnTerminal, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = (sys.executable, "-m", "gilscope")
SECONDS_TO_LIVE = 120
SERVING = """
    import asyncio, sys, time

    def compute():
        until = time.monotonic() + 0.08
        while time.monotonic() < until:
            pass

    async def main():
        print("serving", flush=True)
        for _ in range(int(sys.argv[1])):
            compute()
            await asyncio.sleep(0.02)

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.exit(7)
    sys.exit(int(sys.argv[2]))
"""
FOREVER = "1000000"
OUTPUT = re.compile(r"its output goes to (\S+)")


@pytest.fixture(autouse=True)
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    file = tmp_path / "serving.py"
    file.write_text(dedent(SERVING))
    return file


@contextmanager
def serving() -> Iterator[subprocess.Popen[str]]:
    run = [sys.executable, "serving.py", FOREVER, "0"]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "serving\n"
            yield process
        finally:
            process.kill()


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what the command says, which must be one sentence on stderr, with status 2."""
    assert main(list(arguments)) == 2
    out, error = capsys.readouterr()
    assert out == ""
    return error


def test_a_process_that_cannot_be_shown_is_refused_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert "give the PID of a process: gilscope attach lists" in refused(capsys, "top")
    assert "'abc' is not a PID" in refused(capsys, "top", "abc")
    assert "'4194305' is not a PID" in refused(capsys, "top", "4194305")
    assert "gilscope cannot attach to itself" in refused(capsys, "top", str(os.getpid()))


@pytest.mark.parametrize(
    "option",
    [
        ["--probe", "10ms"],
        ["--live"],
        ["--for", "1s"],
        ["--on-signal", "USR1"],
        ["--log", "stderr"],
        ["--hang", "30s"],
        ["--hang", "30s", "--on-hang", "exit"],
    ],
)
def test_options_of_a_watch_inside_of_the_program_do_not_combine_with_top(
    option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "watch", "--top", *option, "serving.py", "1", "0")
    assert all(word in said for word in option if word.startswith("--"))
    assert "does not combine" in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "nothing to run"),
        (["-"], "--top cannot run a program from standard input"),
        (["missing.py"], "cannot open missing.py: it does not exist"),
        (["-m", "missing_module"], "there is no module named missing_module"),
        (["-o", "report.txt", "serving.py"], "report.txt"),
    ],
)
def test_what_cannot_be_run_or_written_is_refused_before_anything_starts(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert sentence in refused(capsys, "watch", "--top", *arguments)
    assert not [*tmp_path.glob("gilscope-*")]


@pytest.mark.thorough
def test_a_running_process_is_shown_until_it_ends() -> None:
    with serving() as process:
        top = subprocess.Popen([*COMMAND, "top", str(process.pid)], stdout=subprocess.PIPE, text=True)
        with top:
            assert top.stdout
            first = top.stdout.readline()
            process.terminate()
            rest, _ = top.communicate(timeout=SECONDS_TO_LIVE)
    assert re.match(r"[\d.]+ s: (loop 1|no event loop runs)", first), first
    assert "serving.py" in rest
    assert top.returncode == 0


@pytest.mark.thorough
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_after_a_signal_the_report_is_printed_and_the_process_lives(number: signal.Signals, status: int) -> None:
    with serving() as process:
        with subprocess.Popen([*COMMAND, "top", str(process.pid)], stdout=subprocess.PIPE, text=True) as top:
            assert top.stdout
            top.stdout.readline()
            top.send_signal(number)
            rest, _ = top.communicate(timeout=SECONDS_TO_LIVE)
        assert process.poll() is None
    assert top.returncode == status
    assert "serving.py" in rest


def test_the_view_of_a_real_process_names_the_line_that_stalls_it() -> None:
    with serving() as process, OnTerminal([*COMMAND, "top", str(process.pid)]) as terminal:
        terminal.wait_for("BUSY WITH")
        assert re.search(r"serving\.py:(6|7) in compute", text_of(terminal.wait_for(" in compute")))
        terminal.wait_for("longest  in the last minute")
        terminal.type("\x1b[B")
        terminal.wait_for("STACK of ")
        terminal.type("q")
        status, end = terminal.wait()
        assert (status, process.poll()) == (0, None)
        assert "blocked, computing" in text_of(end)


def watched(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program with --top and without a terminal."""
    run = [*COMMAND, "watch", "--top", *arguments]
    return subprocess.run(run, capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=False, **options)


def test_a_program_that_we_start_has_its_own_status_and_its_output_in_a_file(tmp_path: Path) -> None:
    ended = watched("-o", "report.json", "serving.py", "20", "3")
    assert ended.returncode == 3
    named = OUTPUT.findall(ended.stderr)
    assert Path(named[0]).parent == tmp_path
    assert Path(named[0]).read_text() == "serving\n"
    assert "gilscope: the program ended with exit status 3" in ended.stderr
    assert "    serving\n" in ended.stderr
    assert "serving\n" not in ended.stdout
    assert ended.stdout.startswith(("0.", "1."))
    report = json.loads(Path("report.json").read_text())
    assert report["kind"] == "watch"
    assert report["command"] == ["serving.py", "20", "3"]


def test_a_program_that_ends_at_once_has_its_status_and_the_end_of_its_output() -> None:
    Path("brief.py").write_text("import sys; print(sys.stdin.read() == ''); raise SystemExit('over')")
    ended = watched("brief.py", input="not for the program")
    assert ended.returncode == 1
    assert "    True\n    over\n" in ended.stderr


@pytest.mark.thorough
def test_a_program_that_a_signal_ends_has_the_status_that_shells_give() -> None:
    Path("killed.py").write_text("import os, time; time.sleep(0.3); os.kill(os.getpid(), 9)")
    ended = watched("killed.py")
    assert ended.returncode == 128 + 9
    assert "was ended by SIGKILL" in ended.stderr


def test_a_program_that_cannot_be_read_is_ended_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(pid: int, **_: object) -> None:
        raise CannotAttach(pid, "filter")

    monkeypatch.setattr(watch_top, "Attachment", refuse)
    with pytest.raises(SystemExit) as left:
        main(["watch", "--top", "serving.py", FOREVER, "0"])
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert "Error: the program was ended again, because gilscope cannot read it: a seccomp filter forbids" in said
    (pid,) = map(int, re.findall(r"runs as process (\d+)", said))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_q_closes_the_view_and_the_program_runs_on_to_its_end() -> None:
    with OnTerminal([*COMMAND, "watch", "--top", "serving.py", "20", "5"]) as terminal:
        terminal.wait_for("its output goes to")
        terminal.wait_for("BUSY WITH")
        terminal.type("q")
        terminal.wait_for("the program runs on as process")
        status, end = terminal.wait()
        assert status == 5
        assert "ended with exit status 5" in end
        assert "blocked, computing" in text_of(end)


@pytest.mark.thorough
def test_ctrl_c_goes_to_the_program_and_the_view_ends_with_it() -> None:
    with OnTerminal([*COMMAND, "watch", "--top", "serving.py", FOREVER, "0"]) as terminal:
        terminal.wait_for(ALTERNATE)
        begin = terminal.wait_for(" in compute")
        terminal.type("\x03")
        status, end = terminal.wait()
        assert status == 7
        assert USUAL in end
        assert "    interrupted\n" in end
        assert re.search(r"gilscope top: PID \d+, Python [\d.]+: serving.py", text_of(begin))


@pytest.mark.thorough
def test_sigterm_goes_to_the_program() -> None:
    run = [*COMMAND, "watch", "--top", "serving.py", FOREVER, "0"]
    with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        process.terminate()
        _, said = process.communicate(timeout=SECONDS_TO_LIVE)
    assert process.returncode == 128 + signal.SIGTERM
    assert "was ended by SIGTERM" in said
