"""What `gilscope attach` says about its arguments, and about the process that was chosen."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest
from gilscope.cli import main

SUPERVISOR = """
    import subprocess, sys
    child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "serving\\n"
    print(child.pid, flush=True)
    sys.stdin.read()
"""
WORKER = """
    import asyncio, sys
    async def main():
        print("serving", flush=True)
        await asyncio.to_thread(sys.stdin.read)
    asyncio.run(main())
"""


@pytest.mark.parametrize("pid", ["abc", "0", "1.5", "99999999999999999999"])
def test_what_is_no_pid_is_refused(pid: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attach", pid]) == 2
    assert f"'{pid}' is not a PID. gilscope attach without a PID lists the processes." in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--seconds", "3"], ["--children"], ["-o", "x.json"]])
def test_without_a_pid_no_option_is_passed_over_in_silence(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["attach", *options]) == 2
    assert capsys.readouterr().err == f"Error: {options[0]} needs the PID of a process: gilscope attach PID\n"


def test_of_a_server_whose_workers_run_the_loops_the_workers_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    run = [sys.executable, "-c", dedent(SUPERVISOR), dedent(WORKER)]
    with subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout
        child = supervisor.stdout.readline().strip()
        assert main(["attach", str(supervisor.pid), "--seconds", "1ms"]) == 0
        said = capsys.readouterr().err
        supervisor.communicate()
    assert (
        f"process {supervisor.pid} seems to run no event loop, but its child {child} does: attach to it, or add --children"
        in said
    )
