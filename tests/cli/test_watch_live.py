"""What `gilscope watch` says while the program runs goes where it was sent, to the end, and no longer than the program runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

SECONDS_TO_LIVE = 120
COMMAND = (sys.executable, "-m", "gilscope", "watch")
STALLING = """
    import asyncio, time

    async def main():
        await asyncio.sleep(0.05)
        time.sleep(0.3)
        await asyncio.sleep(0.05)

    asyncio.run(main())
"""
HOGGING = """
    import asyncio, ctypes

    def load():
        ctypes.PyDLL(None).usleep(2_000_000)  # holds the GIL

    async def main():
        await asyncio.to_thread(load)
        await asyncio.sleep(1)

    asyncio.run(main())
"""
FORKING = """
    import asyncio, os, sys, warnings

    warnings.simplefilter("ignore")  # there are threads

    def fork():
        if os.fork() == 0:
            null = os.open(os.devnull, os.O_RDWR)
            for number in range(3):
                os.dup2(null, number)
            os.read(int(sys.argv[2]), 1)
            os._exit(0)

    async def main():
        if sys.argv[1] == "in":
            fork()
        await asyncio.sleep(0.05)

    if sys.argv[1] == "before":
        fork()
    asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(options: list[str], text: str) -> str:
    """Watch a program, which must exit with 0, and return its stderr."""
    Path("program.py").write_text(dedent(text))
    ended = subprocess.run(
        [*COMMAND, *options, "program.py"], capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=True
    )
    return ended.stderr


def test_a_stall_that_lasts_longer_than_the_watch_has_an_end_too() -> None:
    text = said(["--live", "--for", "1s"], HOGGING)
    begins = re.findall(r"^gilscope: +([\d.]+) s: stalled for \S+ m?s: ", text, re.MULTILINE)
    ends = re.findall(r"^gilscope: +([\d.]+) s: stalled for \S+ m?s in all: ", text, re.MULTILINE)
    assert begins, text
    assert set(begins) <= set(ends), text


def test_a_log_to_stderr_is_no_file() -> None:
    logged = [json.loads(line) for line in said(["--log", "stderr"], STALLING).splitlines() if line.startswith("{")]
    assert {line["event"] for line in logged} == {"stall", "end"}
    assert not Path("stderr").exists()


@pytest.mark.parametrize("when", ["before", "in"])
def test_whoever_reads_stderr_does_not_wait_for_a_forked_daemon(when: str) -> None:
    Path("program.py").write_text(dedent(FORKING))
    child_lives, end = os.pipe()
    run = [*COMMAND, "--live", "program.py", when, str(child_lives)]
    try:
        with subprocess.Popen(run, stderr=subprocess.PIPE, text=True, pass_fds=[child_lives]) as process:
            _, text = process.communicate(timeout=SECONDS_TO_LIVE)
    finally:
        os.close(end)
        os.close(child_lives)
    assert process.returncode == 0
    assert "gilscope watch: " in text
