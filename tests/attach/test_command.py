"""``gilscope attach`` as a person uses it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gilscope.records.read import read
from gilscope.records.watch_report import WatchReport

from tests.support.stalled_target import script
from tests.support.target import python, started, target, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.target import Target

STALLING = """
async def main():
    ready()
    while True:
        await asyncio.sleep(0.001)
        time.sleep(0.1)  # stalls
"""
COMMAND = (sys.executable, "-m", "gilscope", "attach")
SECONDS_TO_LIVE = 60


def attach(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=False)


@contextmanager
def stalling() -> Iterator[Target]:
    with target(script(STALLING)) as process:
        yield process


def test_the_report_is_on_stdout_and_names_the_process_the_cause_and_the_line() -> None:
    with stalling() as process:
        done = attach(process.pid, "--seconds", "1")
    assert done.returncode == 0, done.stderr
    assert re.match(
        rf"attached to PID {process.pid}: CPython [\d.]+, 1 event loop; sampling for 1.00 s, Ctrl-C ends it early\n",
        done.stderr,
    )
    assert f"PID {process.pid}, CPython" in done.stdout.splitlines()[0]
    assert "blocked, waiting: " in done.stdout
    assert "in main (thread MainThread)" in done.stdout
    assert "loop lag: " in done.stdout
    assert "wait for the GIL" not in done.stdout  # is not known from outside


@pytest.mark.thorough
def test_files_are_written_in_the_formats_of_a_watch(tmp_path: Path) -> None:
    names = ("out.json", "out.perfetto.json", "out.collapsed", "out.speedscope.json")
    with stalling() as process:
        outputs = [word for name in names for word in ("-o", str(tmp_path / name))]
        assert attach(process.pid, "--seconds", "0.7", *outputs).returncode == 0
    report = read(tmp_path / "out.json")
    assert isinstance(report, WatchReport)
    assert report.attached is not None
    assert report.attached.pid == process.pid
    assert report.snapshot.stalls["blocked, waiting"] >= 1
    assert report.time
    assert report.timeline
    assert any(lag is not None and lag > 0.05 for lag in report.timeline.worst)
    assert json.loads((tmp_path / "out.perfetto.json").read_text())
    assert "main" in (tmp_path / "out.collapsed").read_text()
    shown = subprocess.run(
        [sys.executable, "-m", "gilscope", "report", tmp_path / "out.json"], capture_output=True, text=True, check=True
    )
    assert f"PID {process.pid}" in shown.stdout


@pytest.mark.thorough
def test_ctrl_c_and_sigterm_end_it_early_and_the_report_is_printed() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with stalling() as process:
            command = [*COMMAND, str(process.pid), "--seconds", "1000"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as attached:
                assert attached.stderr
                assert attached.stderr.readline().startswith("attached to PID")
                time.sleep(0.3)  # whatever it has seen by then, it reports
                attached.send_signal(number)
                printed, _ = attached.communicate(timeout=SECONDS_TO_LIVE)
        assert attached.returncode == 0
        assert printed.startswith("gilscope attach: ")


def test_a_process_that_ends_ends_it_and_what_was_seen_is_reported() -> None:
    with stalling() as process:
        command = [*COMMAND, str(process.pid), "--seconds", "1000"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as attached:
            assert attached.stderr
            attached.stderr.readline()
            process.process.kill()
            printed, said = attached.communicate(timeout=SECONDS_TO_LIVE)
    assert attached.returncode == 0
    assert f"process {process.pid} ended" in said
    assert printed.startswith("gilscope attach: ")


def test_what_is_not_a_python_is_refused_before_anything_starts() -> None:
    with started(["sleep", "1000"]) as process:
        until(lambda: "sleep" in Path(f"/proc/{process.pid}/comm").read_text())
        done = attach(process.pid)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"cannot attach to {process.pid}" in done.stderr
    assert attach("-o", "out.json").returncode == 2
    assert attach("--children").returncode == 2
    with stalling() as process:
        assert attach(process.pid, "-o", "out.exe").returncode == 2


def test_without_a_pid_the_pythons_are_listed() -> None:
    with stalling() as process:
        done = attach()
    assert done.returncode == 0
    row = next(line for line in done.stdout.splitlines() if line.split()[:1] == [f"{process.pid}"])
    assert row.split()[1:3] == [".".join(map(str, sys.version_info[:3])), "1"]


@pytest.mark.thorough
def test_children_have_a_section_each_the_worst_first_and_files_with_their_pid(tmp_path: Path) -> None:
    parent = f"""
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", {script(STALLING)!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        child.stdout.readline()
        print("ready", flush=True)
        print(child.pid, flush=True)
        sys.stdin.read()
        child.kill()
    """
    with target(parent) as process:
        child = int(process.line())
        done = attach(process.pid, "--children", "--seconds", "1", "-o", tmp_path / "out.json")
        process.process.communicate("")
    assert done.returncode == 0, done.stderr
    assert re.search(rf"PID {child}.*^PID {process.pid} .*: no event loop", done.stdout, re.DOTALL | re.MULTILINE)
    assert "blocked, waiting" in done.stdout
    own, other = read(tmp_path / "out.json"), read(tmp_path / f"out-{child}.json")
    assert isinstance(own, WatchReport)
    assert isinstance(other, WatchReport)
    assert not own.snapshot.stalls
    assert other.snapshot.stalls


@pytest.mark.thorough
def test_children_that_begin_later_are_followed_and_a_parent_need_not_be_a_python() -> None:
    interpreter = python("3.11") or sys.executable
    shell = f"echo ready; read line; {interpreter} -c 'import time; time.sleep(1000)' & read line; kill $!"
    with started(["sh", "-c", shell]) as process:
        assert process.line() == "ready"
        refused = attach(process.pid, "--children", "--seconds", "0.1")
        assert refused.returncode == 2
        process.say("")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        until(lambda: children.read_text().strip())
        [child] = children.read_text().split()
        until(lambda: attach(process.pid, "--children", "--seconds", "0.1").returncode == 0)
        done = attach(process.pid, "--children", "--seconds", "0.1")
        process.process.communicate("")
    assert f"PID {child}" in done.stdout
