"""What the loops do now: for the program itself, and in a file for the probe of an orchestrator."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from gilscope import Watch
from gilscope.records.watch_state import WatchState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECONDS_TO_LIVE = 120
NOTHING = WatchState(state="idle", age=None, loops=())

PROGRAM = """
    import asyncio, ctypes, os, sys, threading, time
    from gilscope import Watch

    async def main():
        await asyncio.sleep(0.05)
        {does}

    with Watch(heartbeat_file={file!r}):
        asyncio.run(main())
        {ends}
"""
STARVES = "threading.Thread(target=ctypes.PyDLL(None).usleep, args=(10_000_000,)).start(); await asyncio.sleep(0)"


@contextmanager
def running(file: Path, *, does: str, ends: str = "pass") -> Iterator[subprocess.Popen[str]]:
    code = dedent(PROGRAM).lstrip().format(does=does, file=str(file), ends=ends)
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def told(file: Path, wanted: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Return what the file says, once it says what is wanted."""
    deadline = time.monotonic() + SECONDS_TO_LIVE
    while time.monotonic() < deadline:
        text = file.read_text() if file.exists() else ""
        if text and wanted(said := json.loads(text)):
            return dict(said)
        time.sleep(0.01)
    pytest.fail(f"the file does not say so: {text}")


def until(wanted: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_TO_LIVE
    while not wanted():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_watch_without_a_loop_says_that_nothing_is_late() -> None:
    watch = Watch()
    assert watch.state() == NOTHING
    with watch:
        assert watch.state() == NOTHING
    assert watch.state() == NOTHING


def test_a_loop_that_sleeps_is_idle_and_has_responded_just_now() -> None:
    with Watch() as watch, waiting_loop():
        until(lambda: watch.state().state == "idle" and watch.state().age is not None)
        until(lambda: watch.state().age == 0)


@contextmanager
def waiting_loop() -> Iterator[None]:
    """Run a loop in another thread, which sleeps."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_loop_that_asks_about_itself_is_busy() -> None:
    async def ask(watch: Watch) -> WatchState:
        deadline = time.monotonic() + SECONDS_TO_LIVE
        while (state := watch.state()).state != "busy":
            assert time.monotonic() < deadline
            await asyncio.sleep(0)
        return state

    with Watch() as watch:
        state = asyncio.run(ask(watch))
    (loop,) = state.loops
    assert (loop.loop, loop.thread.name, loop.state, loop.age) == (1, "MainThread", "busy", state.age)


def test_a_loop_whose_callback_waits_is_blocked_and_its_age_grows() -> None:
    seen: list[WatchState] = []

    async def main(watch: Watch) -> None:
        asking = asyncio.get_running_loop().run_in_executor(None, ask, watch)
        while not seen:
            time.sleep(0.2)  # noqa: ASYNC251 - that is the point
            await asyncio.sleep(0)
        await asking

    def ask(watch: Watch) -> None:
        until(lambda: watch.state().state == "blocked")
        seen.append(watch.state())

    with Watch() as watch:
        asyncio.run(main(watch))
    assert seen[0].age is not None


def test_the_worst_of_several_loops_counts(tmp_path: Path) -> None:
    file = tmp_path / "beat.json"
    two = """
    other = asyncio.new_event_loop()
    threading.Thread(target=other.run_forever, daemon=True).start()
    await asyncio.sleep(0.2)
    time.sleep(1000)"""
    with running(file, does=two):
        said = told(file, lambda said: [loop["state"] for loop in said["loops"]] == ["blocked", "idle"])
        assert (said["state"], said["age"]) == ("blocked", said["loops"][0]["age"])


@pytest.mark.parametrize(
    ("does", "state"), [("await asyncio.sleep(1000)", "idle"), ("time.sleep(1000)", "blocked"), (STARVES, "starved")]
)
def test_the_file_says_what_the_loop_does_also_while_no_python_code_can_run(
    tmp_path: Path, does: str, state: str
) -> None:
    file = tmp_path / "beat.json"
    with running(file, does=does) as process:
        said = told(file, lambda said: said["state"] == state and said["loops"])
        assert said["pid"] == process.pid
        assert abs((datetime.now(UTC) - datetime.fromisoformat(said["time"])).total_seconds()) < SECONDS_TO_LIVE
        assert [loop["state"] for loop in said["loops"]] == [state]
        assert said["age"] == 0 if state == "idle" else said["age"] > 0.05
        if state == "blocked":
            older = told(file, lambda said: said["age"] > 2)
            assert older["time"] > said["time"]


def test_the_file_has_one_line_of_a_constant_size_and_is_removed_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "beat.json"
    asks = "await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)"
    with running(file, does=asks) as process:
        told(file, lambda said: said["loops"])
        assert (file.stat().st_size, file.read_text().count("\n")) == (2048, 1)
        process.communicate("\n", timeout=SECONDS_TO_LIVE)
        assert (process.returncode, file.exists()) == (0, False)


def test_a_program_that_has_changed_its_root_directory_still_beats(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can change it")
    file, root = tmp_path / "beat.json", tmp_path / "root"
    root.mkdir()
    asks = f"os.chroot({str(root)!r}); os.setgid(65534); os.setuid(65534); await asyncio.sleep(1000)"
    with running(file, does=asks):
        first = told(file, lambda said: said["loops"])
        told(file, lambda said: said["time"] > first["time"])


def test_a_forked_child_neither_writes_the_file_nor_removes_it(tmp_path: Path) -> None:
    file = tmp_path / "beat.json"
    forks = f"""
    if os.fork() == 0:
        sys.exit()
    os.wait()
    print(os.path.exists({str(file)!r}), flush=True)"""
    code = dedent(PROGRAM).lstrip().format(does="pass", file=str(file), ends=forks)
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=False
    )
    assert (ended.returncode, ended.stdout, file.exists()) == (0, "True\n", False), ended.stderr


def test_a_program_that_closes_all_files_is_not_harmed_and_no_other_file_is_written(tmp_path: Path) -> None:
    file, foreign = tmp_path / "beat.json", tmp_path / "foreign"
    closes = f"""
    foreign = os.open({str(foreign)!r}, os.O_WRONLY | os.O_CREAT)
    for number in range(500, 1000):
        if os.path.exists(f"/proc/self/fd/{{number}}"): os.dup2(foreign, number)
    await asyncio.sleep(1.5)"""
    code = dedent(PROGRAM).lstrip().format(does=closes, file=str(file), ends="pass")
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=False
    )
    assert (ended.returncode, ended.stderr, foreign.read_bytes()) == (0, "", b"")


def test_a_program_that_has_closed_all_files_still_beats(tmp_path: Path) -> None:
    file = tmp_path / "beat.json"
    with running(file, does="os.closerange(3, 4096); time.sleep(1000)"):
        told(file, lambda said: said["state"] == "blocked" and said["age"] > 1)


def test_the_file_of_a_program_that_has_closed_all_files_is_removed_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "beat.json"
    with running(file, does="pass", ends="os.closerange(3, 4096)") as process:
        assert (process.wait(SECONDS_TO_LIVE), file.exists()) == (0, False)


@pytest.mark.parametrize("other", [False, True])
def test_a_file_that_was_closed_is_not_written_if_its_path_leads_nowhere_or_to_another_file(
    tmp_path: Path, *, other: bool
) -> None:
    file, left = tmp_path / "beat.json", tmp_path / "left"
    moves = f"os.rename({str(file)!r}, {str(left)!r}); " + (f"open({str(file)!r}, 'w').write('x'); " if other else "")
    with running(file, does="pass", ends=f"{moves}os.closerange(3, 4096); time.sleep(1.5)") as process:
        assert process.wait(SECONDS_TO_LIVE) == 0
    assert (left.stat().st_size, file.exists() and file.read_text()) == (2048, other and "x")


def test_a_file_that_is_not_a_heartbeat_file_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "service.py"
    file.write_text("print('hello')\n")
    with pytest.raises(ValueError, match=r"service\.py: it exists and is not a heartbeat file: remove it"):
        Watch(heartbeat_file=file).start()
    assert file.read_text() == "print('hello')\n"


def test_a_file_that_a_killed_process_has_left_is_used_again(tmp_path: Path) -> None:
    file = tmp_path / "beat.json"
    with running(file, does="await asyncio.sleep(1000)"):
        left = told(file, lambda said: said["loops"])
    assert file.exists()
    with Watch(heartbeat_file=file):
        assert told(file, lambda said: said["pid"] == os.getpid()) != left


def test_two_processes_cannot_have_the_same_file(tmp_path: Path) -> None:
    file = tmp_path / "beat.json"
    with running(file, does="await asyncio.sleep(1000)"):
        told(file, lambda said: said["loops"])
        with pytest.raises(ValueError, match="another watch or process writes it: give each a file of its own"):
            Watch(heartbeat_file=file).start()


@pytest.mark.parametrize("name", ["folder", "link", "pipe"])
def test_what_is_not_a_regular_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "other")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises((OSError, ValueError), match=name):
        Watch(heartbeat_file=tmp_path / name).start()


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing/beat"):
        Watch(heartbeat_file=tmp_path / "missing" / "beat").start()


@pytest.mark.parametrize(("file", "error"), [(3, TypeError), ("", ValueError), (b"a\0b", ValueError)])
def test_what_is_no_path_is_refused(file: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="heartbeat_file"):
        Watch(heartbeat_file=file).start()
