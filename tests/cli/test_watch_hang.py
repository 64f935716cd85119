"""`gilscope watch --hang`: a program that hangs is reported, and ended if that is wanted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from gilscope.cli import main

SECONDS_TO_LIVE = 120
HANGS = """
    import asyncio, ctypes, threading

    def hold():
        ctypes.PyDLL(None).pause()

    async def main():
        await asyncio.sleep(0.3)
        {hangs}
        await asyncio.sleep(1000)

    asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def watch(*options: str, hangs: str) -> subprocess.CompletedProcess[str]:
    Path("program.py").write_text(dedent(HANGS).lstrip().format(hangs=hangs))
    return subprocess.run(
        [sys.executable, "-m", "gilscope", "watch", *options, "program.py"],
        capture_output=True,
        text=True,
        timeout=SECONDS_TO_LIVE,
        check=False,
    )


@pytest.mark.parametrize("hangs", ["hold()", "threading.Thread(target=hold).start()"])
def test_a_program_that_hangs_while_it_holds_the_gil_is_ended_and_its_report_says_so(hangs: str) -> None:
    ended = watch("--hang", "1", "--on-hang", "exit", hangs=hangs)
    assert ended.returncode == 70
    stacks, _, report = ended.stderr.partition("gilscope: the process ends with status 70\n")
    assert "program.py:4 in hold\n" in stacks
    assert "the program was ended with status 70 because an event loop hung" in " ".join(report.split())
    assert "one stall was not over" in report


def test_the_stacks_alone_leave_the_program_running() -> None:
    ended = watch("--hang", "500ms", hangs="__import__('time').sleep(1.5); return")
    assert ended.returncode == 0
    assert ended.stderr.count("it hangs") == 1
    assert "program.py:8 in main" in ended.stderr


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--hang", "soon"], "'soon' is not a duration"),
        (["--hang", "20ms"], "--hang (20ms) must be longer than the threshold of a stall (50ms)"),
        (["--on-hang", "exit"], "--on-hang needs a time after which a loop hangs: add --hang 30s, for example"),
        (["--hang", "30", "--on-hang", "kill"], "'kill' is not one of 'dump', 'exit'"),
    ],
)
def test_a_wrong_option_is_refused_before_the_program_starts(
    capsys: pytest.CaptureFixture[str], options: list[str], complaint: str
) -> None:
    Path("program.py").write_text("open('started', 'w')\n")
    assert main(["watch", *options, "program.py"]) == 2
    assert complaint in " ".join(capsys.readouterr().err.split())
    assert not Path("started").exists()
