"""A loop that hangs is reported with all stacks, also while no Python code can run; what only looks like a hang is not."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from gilscope import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS_TO_LIVE = 120
HANG = 0.8
LONG = 3 * HANG
"""What must not be taken for a hang lasts for this long."""
PTRACE_SEIZE = 0x4206
HANGS = "it hangs"

HANGS_FOR_EVER = """
    import asyncio, ctypes, os, threading, time
    from gilscope import Watch

    def hold():
        ctypes.PyDLL(None).pause()

    def block():
        ctypes.CDLL(None).pause()

    def spin():
        while True:
            pass

    async def main():
        await asyncio.sleep(0.05)
        {hangs}
        await asyncio.sleep(1000)

    with Watch(hang={hang}, on_hang="exit"):
        asyncio.run(main())
"""
"""Line 5 holds the GIL, line 8 blocks the loop."""

ANSWERS = """
    import asyncio, contextlib, importlib, os, sys
    from gilscope import Watch

    async def main():
        await asyncio.sleep(0.05)
        print("ready", flush=True)
        {then}

    def asked():
        return sys.stdin.readline()

    with Watch(hang={hang}, on_hang="exit"):
        with asyncio.Runner(loop_factory=importlib.import_module("{runs}").new_event_loop) as runner:
            runner.run(main())
    print("well", flush=True)
"""
"""A program that says that it is ready, does something, and ends well."""


def script(text: str, **given: object) -> list[str]:
    return [sys.executable, "-c", dedent(text).lstrip().format(hang=HANG, **given)]


@contextmanager
def ready(*, then: str, runs: str = "asyncio") -> Iterator[subprocess.Popen[str]]:
    """Start :data:`ANSWERS`, and wait until it is ready."""
    with subprocess.Popen(
        script(ANSWERS, then=then, runs=runs),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process


def ends_well(process: subprocess.Popen[str], answer: str = "") -> None:
    out, errors = process.communicate(answer, timeout=SECONDS_TO_LIVE)
    assert (process.returncode, HANGS in errors, out.endswith("well\n")) == (0, False, True), errors


@pytest.mark.parametrize(
    ("hangs", "thread", "line"),
    [
        ("threading.Thread(target=hold).start()", r"\(thread \d+\) holds the GIL.*", "5 in hold"),
        ("import select; select.select([0], [], [])", r"MainThread \(thread \d+, event loop 1\) sleeps", "16 in main"),
        ("block()", r"MainThread \(thread \d+, event loop 1\) sleeps", "8 in block"),
    ],
)
def test_a_program_that_hangs_for_ever_in_a_c_call_ends_with_70_and_names_its_line(
    hangs: str, thread: str, line: str
) -> None:
    command = script(HANGS_FOR_EVER, hangs=hangs)
    reads, writes = os.pipe()  # a standard input that stays open
    try:
        ended = subprocess.run(
            command, stdin=reads, capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=False
        )
    finally:
        os.close(reads)
        os.close(writes)
    assert ended.returncode == 70
    assert "gilscope: event loop 1 has given no heartbeat for" in ended.stderr
    first = ended.stderr.split("\n\n")[1]
    assert re.search(rf"{thread}\n(  in the task .*\n)?  <string>:{line}\n", first), ended.stderr
    assert ended.stderr.endswith("gilscope: the process ends with status 70\n")


def test_a_program_that_hangs_on_uvloop_ends_with_70_and_names_its_line() -> None:
    pytest.importorskip("uvloop")
    command = script(ANSWERS, then="asked()", runs="uvloop")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr
        assert b"<string>:10 in asked\n" in process.stderr.read()
        assert process.wait(SECONDS_TO_LIVE) == 70


@pytest.mark.parametrize("read_gil", [True, False])
def test_a_loop_that_computes_for_ever_is_reported_also_where_memory_is_not_read(*, read_gil: bool) -> None:
    command = script(HANGS_FOR_EVER.replace("on_hang", f"read_gil={read_gil}, on_hang"), hangs="spin()")
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=False)
    assert ended.returncode == 70
    assert re.search(r"\n  <string>:1[12] in spin\n", ended.stderr), ended.stderr
    assert ("without their stacks, which cannot be read here" in ended.stderr) != read_gil


def test_the_loops_own_stack_is_written_after_the_holders() -> None:
    command = script(HANGS_FOR_EVER, hangs="threading.Thread(target=hold).start()")
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=False)
    second = ended.stderr.split("\n\n")[2]
    assert re.match(r"MainThread \(thread \d+, event loop 1\) waits for the GIL\n", second), ended.stderr
    assert "in main\n" in second


def test_a_process_that_was_stopped_does_not_hang() -> None:
    busy = """
    asking = asyncio.get_running_loop().run_in_executor(None, asked)
    while not asking.done(): await asyncio.sleep(0)"""
    with ready(then=busy) as process:
        process.send_signal(signal.SIGSTOP)
        time.sleep(LONG)
        process.send_signal(signal.SIGCONT)
        ends_well(process, "\n")


def test_a_process_that_another_one_traces_does_not_hang() -> None:
    with ready(then="asked()") as process:
        if ptrace(PTRACE_SEIZE, process.pid) != 0:
            process.kill()
            pytest.skip("this system does not permit to trace")
        time.sleep(LONG)
        assert process.poll() is None
        ends_well(process, "\n")


def ptrace(request: int, pid: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    libc.ptrace.restype = ctypes.c_long
    result: int = libc.ptrace(request, pid, None, None)
    return result


def test_a_program_at_a_breakpoint_does_not_hang() -> None:
    with ready(then="breakpoint()") as process:
        time.sleep(LONG)
        assert process.poll() is None
        ends_well(process, "continue\n")


@pytest.mark.parametrize("runs", ["asyncio", "uvloop"])
def test_a_loop_that_sleeps_does_not_hang_although_the_program_has_closed_the_timer_of_its_heartbeat(
    runs: str,
) -> None:
    pytest.importorskip(runs)
    closes = """
    for number in range(3, 1000):
        with contextlib.suppress(OSError):
            if "timerfd" in os.readlink(f"/proc/self/fd/{number}"): os.close(number)
    await asyncio.get_running_loop().run_in_executor(None, asked)"""
    with ready(then=closes, runs=runs) as process:
        time.sleep(LONG)
        assert process.poll() is None
        ends_well(process, "\n")


def test_a_hang_is_reported_once_and_the_next_one_again() -> None:
    code = """
        import asyncio, time
        from gilscope import Watch

        async def main():
            for _ in range(2):
                await asyncio.sleep(0.1)
                time.sleep(2)

        with Watch(hang=0.5):
            asyncio.run(main())
    """
    ended = subprocess.run(
        [sys.executable, "-c", dedent(code)], capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=False
    )
    assert (ended.returncode, ended.stderr.count(HANGS)) == (0, 2), ended.stderr
    assert "the process ends" not in ended.stderr


def test_a_stderr_that_nobody_reads_delays_the_end_by_a_second_only() -> None:
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writes, b"x" * 4096)
    os.set_blocking(writes, True)
    try:
        command = script(HANGS_FOR_EVER, hangs="block()")
        assert subprocess.run(command, stderr=writes, timeout=SECONDS_TO_LIVE, check=False).returncode == 70
    finally:
        os.close(reads)
        os.close(writes)


def test_nothing_is_written_to_a_file_whose_number_is_that_of_the_kept_stderr(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    hangs = f"""
    foreign = os.open({str(foreign)!r}, os.O_WRONLY | os.O_CREAT)
    for number in range(500, 1000):
        if os.path.exists(f"/proc/self/fd/{{number}}"): os.dup2(foreign, number)
    block()"""
    command = script(HANGS_FOR_EVER, hangs=hangs)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=False)
    assert (ended.returncode, ended.stderr, foreign.read_bytes()) == (70, "", b"")


def test_the_stacks_go_to_the_stderr_that_the_program_had_when_the_watch_started(tmp_path: Path) -> None:
    later = tmp_path / "later"
    hangs = f"""
    os.dup2(os.open({str(later)!r}, os.O_WRONLY | os.O_CREAT), 2)
    block()"""
    command = script(HANGS_FOR_EVER, hangs=hangs)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=False)
    assert (ended.returncode, HANGS in ended.stderr, later.read_bytes()) == (70, True, b"")


NO_THREADS = """
    import resource
    pages = int(open("/proc/self/statm").read().split()[0])
    at_most = pages * resource.getpagesize() + 1_900_000  # less than the stack of a thread
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (at_most, before[1]))"""


def test_the_stacks_are_written_at_the_end_also_where_no_thread_can_be_started() -> None:
    command = script(HANGS_FOR_EVER, hangs=f"{NO_THREADS}\n    block()")
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=False)
    assert ended.returncode == 70
    assert "<string>:8 in block\n" in ended.stderr
    assert ended.stderr.endswith("gilscope: the process ends with status 70\n")


def test_the_stacks_are_written_once_a_thread_can_be_started_again() -> None:
    hangs = f"""{NO_THREADS}
    ctypes.CDLL(None).usleep(2_000_000)
    resource.setrlimit(resource.RLIMIT_AS, before)
    await asyncio.sleep(30)
    os._exit(0)"""
    command = script(HANGS_FOR_EVER.replace('on_hang="exit"', 'on_hang="dump"'), hangs=hangs)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            assert HANGS in process.stderr.readline()
        finally:
            process.kill()


def test_the_task_and_the_request_of_the_loop_are_named() -> None:
    hangs = """
    async def app(scope, receive, send): block()
    await asyncio.create_task(app({"type": "http", "method": "GET", "path": "/report"}, None, None), name="serve")"""
    command = script(HANGS_FOR_EVER, hangs=hangs)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=False)
    about = "  in the task serve (main.<locals>.app)\n  for the request GET /report\n  <string>:8 in block\n"
    assert about in ended.stderr, ended.stderr


def test_of_a_thousand_threads_the_one_that_matters_comes_first() -> None:
    hangs = """
    for _ in range(1000):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        await asyncio.sleep(0)  # a thousand starts take longer than a hang, on a busy machine
    block()"""
    command = script(HANGS_FOR_EVER, hangs=hangs)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=False)
    assert "event loop 1) sleeps\n" in ended.stderr.split("\n\n")[1]
    more = re.search(r"\n(\d+) more threads\n", ended.stderr)
    assert more
    assert 700 < int(more[1]) < 800


def test_a_thread_that_has_been_there_for_a_while_has_its_name() -> None:
    hangs = """
    waits, goes = threading.Event(), threading.Event()
    threading.Thread(target=lambda: (waits.set(), goes.wait(), hold()), name="the holder").start()
    await asyncio.sleep(3)
    goes.set()"""
    command = script(HANGS_FOR_EVER, hangs=hangs)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=False)
    assert (ended.returncode, "\nthe holder (thread " in ended.stderr) == (70, True), ended.stderr


def test_a_watch_that_has_stopped_has_closed_its_files(tmp_path: Path) -> None:
    code = f"""
        import os
        from gilscope import Watch

        watch = Watch(hang=30, heartbeat_file={str(tmp_path / "beat")!r})
        for _ in range(2):
            watch.start()
            watch.stop()
            print([number for number in os.listdir("/proc/self/fd") if int(number) >= 500])
    """
    ended = subprocess.run(
        [sys.executable, "-c", dedent(code)], capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=False
    )
    assert (ended.stdout, ended.stderr) == ("[]\n[]\n", "")


def test_a_forked_child_does_not_keep_stderr_open() -> None:
    code = """
        import os
        from gilscope import Watch

        def high():
            high = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd") if int(number) >= 500]
            return [name for name in high if os.path.exists(name) and "/task/" not in os.readlink(name)]

        with Watch(hang=30):
            print(len(high()))
            if os.fork() == 0:
                print(len(high()), flush=True)
                os._exit(0)
            os.wait()
    """
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-uc", dedent(code)],
        capture_output=True,
        text=True,
        timeout=SECONDS_TO_LIVE,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("1\n0\n", "")


@pytest.mark.parametrize(
    ("arguments", "error", "complaint"),
    [
        ({"hang": "soon"}, ValueError, "hang: 'soon' is not a duration"),
        ({"hang": True}, TypeError, "hang: True is not a duration"),
        ({"hang": 0.05}, ValueError, r"hang \(50ms\) must be longer than the threshold of a stall \(50ms\)"),
        ({"hang": "50s", "stall": "1min"}, ValueError, r"hang \(50s\) must be longer"),
        ({"on_hang": "exit"}, ValueError, "on_hang needs a time after which a loop hangs: add hang=30"),
        ({"hang": 30, "on_hang": "kill"}, ValueError, "on_hang must be 'dump' or 'exit', not 'kill'"),
        ({"hang": 30, "on_hang": []}, TypeError, r"on_hang must be 'dump' or 'exit', not \[\]"),
    ],
)
def test_a_wrong_argument_is_refused_when_the_watch_is_made(
    arguments: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        Watch(**arguments)


@pytest.mark.parametrize("hang", [30, 30.0, "30s", "0.5min", "30"])
def test_a_hang_is_a_number_of_seconds_or_a_string(hang: float | str) -> None:
    assert Watch(hang=hang)._settings.hang == 30
