"""A stall is written down while it lasts, whatever holds the GIL, and nothing that happens to the log harms the program."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import fcntl
import json
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from gilscope.watch.api import Watch

from tests.support import child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STALL = 0.05
NAP = 4 * STALL
MAX_TIMES = 5
LINE_BYTES = 65536


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def lines(data: bytes) -> list[dict[str, Any]]:
    assert data.endswith(b"\n") or not data
    return [json.loads(line) for line in data.splitlines()]


def read_holding_the_gil(reader: int) -> bytes:
    """Hold the GIL until something can be read."""
    buffer = ctypes.create_string_buffer(LINE_BYTES)
    count = ctypes.PyDLL(None).read(reader, buffer, LINE_BYTES)
    return buffer.raw[:count]


def read_what_is_there(reader: int) -> bytes:
    os.set_blocking(reader, False)
    try:
        return os.read(reader, LINE_BYTES)
    except BlockingIOError:
        return b""
    finally:
        os.set_blocking(reader, True)


def written_during(
    hold: Callable[[int], Any], pipe: tuple[int, int]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Stall a loop by a read that ends when the log says so. Return the lines of that time, and those that follow."""
    reader, writer = pipe

    async def main() -> bytes:
        # A machine that stands still makes stalls as well: what they wrote is not of this one.
        for _ in range(MAX_TIMES):
            await asyncio.sleep(2 * STALL)
            read_what_is_there(reader)
            began = time.monotonic()
            during: bytes = await hold(reader)
            if time.monotonic() >= began + STALL:
                break
        await asyncio.sleep(0)
        return during

    with Watch(stall=STALL, log=writer):
        during = asyncio.run(main())
    return lines(during), lines(read_what_is_there(reader))


def test_the_line_is_there_before_a_callback_returns_that_holds_the_gil(pipe: tuple[int, int]) -> None:
    async def hold(reader: int) -> bytes:
        return read_holding_the_gil(reader)

    (stall,), (end, *_) = written_during(hold, pipe)
    assert (stall["schema"], stall["event"], stall["pid"]) == ("gilscope-stalls-1", "stall", os.getpid())
    assert stall["cause"] in {"blocked, computing", "no CPU"}
    assert stall["thread"] == {"id": threading.get_native_id(), "name": "MainThread"}
    assert stall["holder"] is None
    assert STALL <= stall["seconds"] < end["seconds"]
    assert (stall["threshold"], stall["dropped"]) == (STALL, 0)
    assert (end["event"], end["id"], end["loop"]) == ("end", stall["id"], stall["loop"])


def test_the_line_names_the_thread_that_holds_the_gil_while_it_does(pipe: tuple[int, int]) -> None:
    with ThreadPoolExecutor(1) as pool:
        thread = pool.submit(threading.get_native_id).result()

        async def hold(reader: int) -> bytes:
            return await asyncio.get_running_loop().run_in_executor(pool, read_holding_the_gil, reader)

        (stall,), (end, *_) = written_during(hold, pipe)
    assert stall["holder"]["id"] == thread
    assert stall["cause"] in {"starved by a hog", "no CPU"}
    assert end["id"] == stall["id"]


def test_the_line_names_the_lines_of_code_while_no_code_can_run(pipe: tuple[int, int]) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()

        async def hold(reader: int) -> bytes:
            return await asyncio.get_running_loop().run_in_executor(pool, read_holding_the_gil, reader)

        (stall,), _ = written_during(hold, pipe)
    place = stall["holder"]["line"]
    first = read_holding_the_gil.__code__.co_firstlineno
    assert (place["file"], place["function"]) == (__file__, "read_holding_the_gil")
    assert first < place["line"] <= first + 4
    assert place["certainty"] in {"proved", "read twice"}


def test_the_line_names_the_loops_line_and_its_task(pipe: tuple[int, int]) -> None:
    async def hold(reader: int) -> bytes:
        asyncio.current_task().set_name("the task")  # type: ignore[union-attr]
        return os.read(reader, LINE_BYTES)

    (stall,), _ = written_during(hold, pipe)
    assert stall["cause"] in {"blocked, waiting", "no CPU"}
    assert stall["loop_line"]["function"].endswith("<locals>.hold")
    assert stall["loop_line"]["file"] == __file__
    assert stall["task"] == "the task"
    assert stall["coroutine"].endswith("main")


def nap() -> None:
    time.sleep(NAP)


async def stalling() -> None:
    await asyncio.sleep(STALL)
    nap()
    await asyncio.sleep(0)


def events(path: Path) -> set[str]:
    return {line["event"] for line in lines(path.read_bytes())}


def test_a_path_is_appended_to_and_a_watch_that_is_started_again_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "stalls.log"
    log.write_text('{"event": "of another program"}\n')
    watch = Watch(stall=STALL, log=log)
    for _ in range(2):
        with watch:
            asyncio.run(stalling())
    assert events(log) == {"of another program", "stall", "end"}
    ids = [line["id"] for line in lines(log.read_bytes())[1:] if line["event"] == "stall"]
    assert ids.count(1) == 2


def test_the_log_is_open_from_the_beginning_and_closed_at_the_end(tmp_path: Path) -> None:
    log = tmp_path / "stalls.log"
    watch = Watch(log=str(log))
    assert log.exists()
    numbers = [int(it.name) for it in Path("/proc/self/fd").iterdir() if it.is_symlink() and it.readlink() == log]
    assert len(numbers) == 1
    assert numbers[0] >= 100  # out of the way of the program's own
    assert fcntl.fcntl(numbers[0], fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    with watch:
        pass
    assert log not in [it.readlink() for it in Path("/proc/self/fd").iterdir() if it.is_symlink()]


def test_the_reader_of_a_pipe_sees_its_end_when_the_watch_has_ended() -> None:
    reader, writer = os.pipe()
    with closing(os.fdopen(reader, "rb")) as read, Watch(stall=STALL, log=writer):
        os.close(writer)
        asyncio.run(stalling())
        watch_runs = threading.Thread(target=read.read)
        watch_runs.start()
    watch_runs.join(60)
    assert not watch_runs.is_alive()


def test_a_pipe_that_nothing_reads_blocks_nothing_and_what_is_lost_is_counted(pipe: tuple[int, int]) -> None:
    _, writer = pipe
    os.write(writer, b"x" * fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ))
    with Watch(stall=STALL, log=writer) as watch:
        asyncio.run(stalling())
    assert watch.snapshot().log_dropped >= 2
    assert watch.snapshot().stalls


def test_a_socket_without_a_reader_costs_nothing() -> None:
    near, far = socket.socketpair()
    with near, Watch(stall=STALL, log=near.fileno()) as watch:
        far.close()
        asyncio.run(stalling())
    assert watch.snapshot().log_dropped >= 2


STALLING = """
    import asyncio, fcntl, os, signal, sys, time, warnings
    from gilscope import Watch

    async def stalling():
        await asyncio.sleep(0.05)
        time.sleep(0.2)
        await asyncio.sleep(0)
"""


def test_a_program_with_the_default_action_of_sigpipe_survives_a_log_without_a_reader() -> None:
    script = """
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    reader, writer = os.pipe()
    with Watch(stall=0.05, log=writer) as watch:
        os.close(reader)
        asyncio.run(stalling())
    print(watch.snapshot().log_dropped >= 2)
    """
    assert child.output(STALLING + script) == ["True"]


def test_a_program_that_ends_does_not_wait_for_a_reader() -> None:
    script = """
    reader, writer = os.pipe()
    os.write(writer, b"x" * fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ))
    Watch(stall=0.05, log=writer).start()
    asyncio.run(stalling())
    print("done")
    """
    assert child.output(STALLING + script) == ["done"]


CLOSES_ALL = """
    victim = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
    log = sys.argv[2] if len(sys.argv) > 2 else os.open(sys.argv[1] + ".log", os.O_WRONLY | os.O_CREAT)
    with Watch(stall=0.05, log=log) as watch:
        for number in range(3, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 5000 else 5000):
            if number != victim:
                os.dup2(victim, number)  # closes what had this number, and uses the number again
        os.closerange(3, 800)
        asyncio.run(stalling())
    print(watch.snapshot().log_dropped)
"""


def test_a_log_whose_number_the_program_has_used_again_is_not_written_to_the_foreign_file(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (dropped,) = child.output(STALLING + CLOSES_ALL, str(victim))
    assert victim.read_bytes() == b""
    assert int(dropped) >= 2


def test_a_log_at_a_path_is_opened_again_when_the_program_has_closed_it(tmp_path: Path) -> None:
    victim, log = tmp_path / "victim", tmp_path / "stalls.log"
    assert child.output(STALLING + CLOSES_ALL, str(victim), str(log)) == ["0"]
    assert victim.read_bytes() == b""
    assert events(log) == {"stall", "end"}


def test_a_log_at_a_path_is_written_on_when_it_gets_the_same_descriptor_again(tmp_path: Path) -> None:
    log = tmp_path / "stalls.log"
    script = """
    with Watch(stall=0.05, log=sys.argv[1]) as watch:
        os.closerange(3, 65536)
        asyncio.run(stalling())
    print(watch.snapshot().log_dropped)
    """
    assert child.output(STALLING + script, str(log)) == ["0"]
    assert events(log) == {"stall", "end"}


def test_a_log_that_the_program_has_closed_and_removed_is_not_made_again(tmp_path: Path) -> None:
    victim, log = tmp_path / "victim", tmp_path / "stalls.log"
    script = CLOSES_ALL.replace("asyncio.run", "os.unlink(log); asyncio.run")
    (dropped,) = child.output(STALLING + script, str(victim), str(log))
    assert int(dropped) >= 2
    assert not log.exists()


def test_a_forked_child_writes_nothing(tmp_path: Path) -> None:
    log = tmp_path / "stalls.log"
    script = """
    with Watch(stall=0.05, log=sys.argv[1]):
        asyncio.run(stalling())
        warnings.simplefilter("ignore")  # there are threads
        if os.fork() == 0:
            asyncio.run(stalling())
            os._exit(0)
        os.wait()
        print(os.getpid())
    """
    (pid,) = child.output(STALLING + script, str(log))
    assert {line["pid"] for line in lines(log.read_bytes())} == {int(pid)}


@pytest.mark.parametrize("start", ["start", "start_with_first_loop"])
def test_a_forked_child_does_not_keep_the_log_open(start: str) -> None:
    script = """
    reader, writer = os.pipe()
    child_lives, end = os.pipe()
    watch = Watch(log=writer)
    getattr(watch, sys.argv[1])()
    os.close(writer)
    warnings.simplefilter("ignore")  # there are threads
    if os.fork() == 0:
        os.close(end)
        os.read(child_lives, 1)
        os._exit(0)
    asyncio.run(asyncio.sleep(0))
    watch.stop()
    at_its_end, _, _ = select.select([reader], [], [], 60)
    print(bool(at_its_end))
    os.close(end)
    os.wait()
    """
    assert child.output(STALLING + "    import select\n" + script, start) == ["True"]


def test_a_forked_child_that_starts_the_watch_writes_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "stalls.log"
    script = """
    watch = Watch(stall=0.05, log=sys.argv[1])
    watch.start()
    warnings.simplefilter("ignore")  # there are threads
    if (pid := os.fork()) == 0:
        with watch:
            asyncio.run(stalling())
        os._exit(0)
    os.wait()
    watch.stop()
    print(pid)
    """
    (pid,) = child.output(STALLING + script, str(log))
    assert {line["pid"] for line in lines(log.read_bytes())} == {int(pid)}


def test_a_watch_that_starts_after_its_descriptor_was_used_again_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    script = """
    log = os.open(os.devnull, os.O_WRONLY)
    watch = Watch(stall=0.05, log=log)
    os.closerange(3, 65536)
    assert os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT) == 3
    os.dup2(3, log)
    try:
        watch.start()
    except OSError as error:
        print(error.strerror.replace(str(log), "LOG"))
    asyncio.run(stalling())
    """
    complaint = "cannot write the log to descriptor LOG: it is closed, or another file's by now"
    assert child.output(STALLING + script, str(victim)) == [complaint]
    assert victim.read_bytes() == b""


def test_a_watch_is_not_started_again_without_its_descriptor(pipe: tuple[int, int]) -> None:
    log = os.dup(pipe[1])
    watch = Watch(log=log)
    with watch:
        pass
    os.close(log)
    with pytest.raises(OSError, match=f"cannot write the log to descriptor {log}: it is closed") as raised:
        watch.start()
    assert raised.value.errno == errno.EBADF


def test_a_watch_is_not_started_again_without_the_folder_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "folder" / "stalls.log"
    log.parent.mkdir()
    watch = Watch(log=log)
    with watch:
        pass
    log.unlink()
    log.parent.rmdir()
    with pytest.raises(FileNotFoundError, match=f"cannot write the log to {log}: No such file or directory"):
        watch.start()


def test_stderr_is_the_one_that_the_program_had_when_the_watch_was_made(tmp_path: Path) -> None:
    script = """
    watch = Watch(stall=0.05, log="stderr")
    os.dup2(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), 2)
    with watch:
        asyncio.run(stalling())
    """
    other = tmp_path / "other"
    ended = child.run(STALLING + script, str(other))
    assert {line["event"] for line in lines(ended.stderr.encode())} == {"stall", "end"}
    assert other.read_bytes() == b""


@pytest.mark.parametrize(
    ("log", "complaint"),
    [
        (True, "not True"),
        (1.5, "not 1.5"),
        (b"stalls.log", "not b'stalls.log'"),
        ([], r"not \[\]"),
    ],
)
def test_what_cannot_be_a_log_is_refused(log: Any, complaint: str) -> None:
    with pytest.raises(TypeError, match=f'log must be a path, a file descriptor or "stderr", {complaint}'):
        Watch(log=log)


def test_an_open_file_is_refused_with_the_way_to_pass_it(tmp_path: Path) -> None:
    with (
        (tmp_path / "log").open("w") as file,
        pytest.raises(TypeError, match=r"pass its descriptor: log=FILE.fileno\(\)"),
    ):
        Watch(log=file)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("log", "complaint"), [(-1, "0 or more, not -1"), ("", "not an empty string"), ("a\0b", "NUL")]
)
def test_a_log_that_cannot_exist_is_refused(log: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Watch(log=log)


@pytest.mark.parametrize("log", ["/", "/no/such/folder/stalls.log", 987_654])
def test_a_log_that_cannot_be_written_is_refused_before_the_watch_starts(log: Any) -> None:
    with pytest.raises(OSError, match=f"cannot write the log to .*{log}: ") as raised:
        Watch(log=log)
    assert raised.value.errno


def test_a_descriptor_that_is_only_read_from_is_refused(pipe: tuple[int, int]) -> None:
    with pytest.raises(OSError, match=f"cannot write the log to descriptor {pipe[0]}: it is not open for writing"):
        Watch(log=pipe[0])
