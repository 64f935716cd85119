"""A signal requests a dump: also where no Python code can run, and without a change for the program and its children."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from gilscope import Watch
from gilscope.records.read import read
from gilscope.records.watch_report import WatchReport

from tests.support import child

if TYPE_CHECKING:
    from pathlib import Path

START = """
import ctypes, faulthandler, os, signal, sys, threading, time, warnings
from pathlib import Path
import gilscope

warnings.simplefilter("ignore")  # forks beside threads
folder = Path(sys.argv[1])
libc, held = ctypes.CDLL(None), ctypes.PyDLL(None)

def dumps():
    return sorted(path.name for path in folder.glob("gilscope-*.json"))

def wait_for_dumps(number):
    while len(dumps()) < number:
        time.sleep(0.01)

def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def watched():
    return gilscope.Watch(dump_signal=signal.SIGUSR2, dump_dir=folder)
"""


def run(script: str, folder: Path) -> tuple[list[str], list[str]]:
    """Return what the program printed on stdout and stderr."""
    ended = child.run(START + script, str(folder))
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines(), ended.stderr.splitlines()


def test_a_dump_is_written_while_the_main_thread_waits_in_native_code(tmp_path: Path) -> None:
    """The main thread returns from its call only because the dump is there."""
    printed, said = run(
        """
reader, writer = os.pipe()

def signal_and_release():
    libc.kill(os.getpid(), signal.SIGUSR2)
    wait_for_dumps(1)
    os.write(writer, b"1")

with watched():
    threading.Thread(target=signal_and_release).start()
    libc.read(reader, ctypes.create_string_buffer(1), 1)  # as long as there is no byte
    print(*dumps())
""",
        tmp_path,
    )
    (file,) = tmp_path.iterdir()
    report = read(file)
    assert isinstance(report, WatchReport)
    assert report.excerpt
    assert report.excerpt.reason == "signal"
    assert printed == [file.name]
    assert len(said) == 1
    assert said[0].startswith("gilscope: wrote the last ")
    assert said[0].endswith(f" to {file}")


def test_a_signal_that_comes_while_native_code_holds_the_gil_is_answered_when_it_is_released(tmp_path: Path) -> None:
    run(
        """
with watched():
    held.kill(os.getpid(), signal.SIGUSR2)
    held.usleep(200_000)
    wait_for_dumps(1)
""",
        tmp_path,
    )
    assert len(list(tmp_path.iterdir())) == 1


def test_the_dump_is_written_into_the_folder_in_which_the_watch_was_started(tmp_path: Path) -> None:
    run(
        """
os.chdir(folder)
watch = gilscope.Watch(dump_signal=signal.SIGUSR2)
with watch:
    os.chdir("/")
    os.kill(os.getpid(), signal.SIGUSR2)
    wait_for_dumps(1)
""",
        tmp_path,
    )


def test_a_handler_from_before_still_runs_and_is_alone_again_after_the_watch(tmp_path: Path) -> None:
    printed, _ = run(
        """
calls = []
signal.signal(signal.SIGUSR2, lambda *_: calls.append(len(calls)))
with watched():
    os.kill(os.getpid(), signal.SIGUSR2)
    wait_for_dumps(1)
    print(calls)
os.kill(os.getpid(), signal.SIGUSR2)
time.sleep(0)
print(calls, len(dumps()))
""",
        tmp_path,
    )
    assert printed == ["[0]", "[0, 1] 1"]


def test_a_handler_that_is_installed_later_replaces_the_watchs_and_stays(tmp_path: Path) -> None:
    printed, _ = run(
        """
calls = []
with watched():
    signal.signal(signal.SIGUSR2, lambda *_: calls.append(len(calls)))
    os.kill(os.getpid(), signal.SIGUSR2)
os.kill(os.getpid(), signal.SIGUSR2)
print(calls, dumps())
""",
        tmp_path,
    )
    assert printed == ["[0, 1] []"]


def test_two_watches_answer_the_same_signal_and_the_last_of_them_gives_it_back(tmp_path: Path) -> None:
    printed, _ = run(
        """
calls = []
signal.signal(signal.SIGUSR2, lambda *_: calls.append(len(calls)))
one, other = watched(), watched()
one.start()
other.start()
os.kill(os.getpid(), signal.SIGUSR2)
wait_for_dumps(2)
one.stop()
os.kill(os.getpid(), signal.SIGUSR2)
wait_for_dumps(3)
other.stop()
os.kill(os.getpid(), signal.SIGUSR2)  # is the program's alone again
print(calls, len(dumps()))
""",
        tmp_path,
    )
    assert printed == ["[0, 1, 2] 3"]


FAULTHANDLER = """
file = open(os.devnull, "w")

def signal_twice(watches):
    for number in 1, 2:
        os.kill(os.getpid(), signal.SIGUSR2)
        wait_for_dumps(number * watches)
"""


def test_a_watch_that_starts_again_in_front_of_its_own_handler_still_counts_a_signal_once(tmp_path: Path) -> None:
    """faulthandler puts back the handler that it found, also when the watch has stopped."""
    printed, _ = run(
        FAULTHANDLER
        + """
watch = watched()
watch.start()
faulthandler.register(signal.SIGUSR2, file=file)
watch.stop()
faulthandler.unregister(signal.SIGUSR2)
with watched():
    signal_twice(watches=1)
print(len(dumps()))
if (pid := os.fork()) == 0:  # the action from before the first watch is there again
    os.kill(os.getpid(), signal.SIGUSR2)
    os._exit(0)
print(ended(pid) == -signal.SIGUSR2)
""",
        tmp_path,
    )
    assert printed == ["2", "True"]


@pytest.mark.parametrize("watches", [1, 2])
def test_a_watch_may_start_after_a_handler_that_calls_the_watchs_own(tmp_path: Path, watches: int) -> None:
    printed, _ = run(
        FAULTHANDLER
        + f"""
watch = watched()
watch.start()
faulthandler.register(signal.SIGUSR2, file=file, chain=True)
if {watches} == 1:
    watch.stop()
with watched():
    signal_twice({watches})
watch.stop()
print(len(dumps()))
""",
        tmp_path,
    )
    assert printed == [str(2 * watches)]


def test_an_ignored_signal_is_refused_because_children_would_no_longer_ignore_it() -> None:
    """As under nohup, which ignores SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(
            ValueError, match=r"dump_signal: the program ignores SIGHUP, .*choose one .* such as SIGUSR2"
        ):
            Watch(dump_signal=signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    Watch(dump_signal=signal.SIGUSR2)


@pytest.mark.parametrize("fork", ["os.fork()", "held.fork()"])
def test_the_signal_ends_a_forked_child_as_without_a_watch_and_writes_no_dump(tmp_path: Path, fork: str) -> None:
    printed, _ = run(
        f"""
with watched():
    if (pid := {fork}) == 0:
        held.kill(held.getpid(), signal.SIGUSR2)
        os._exit(0)
    print(ended(pid) == -signal.SIGUSR2)
    os.kill(os.getpid(), signal.SIGUSR2)
    wait_for_dumps(1)
print(len(dumps()))
""",
        tmp_path,
    )
    assert printed == ["True", "1"]


@pytest.mark.parametrize("fork", ["os.fork()", "held.fork()"])
def test_a_forked_child_has_the_programs_handler(tmp_path: Path, fork: str) -> None:
    printed, _ = run(
        f"""
signal.signal(signal.SIGUSR2, lambda *_: os._exit(7))
with watched():
    if (pid := {fork}) == 0:
        held.kill(held.getpid(), signal.SIGUSR2)
        signal.pause()
    print(ended(pid), dumps())
""",
        tmp_path,
    )
    assert printed == ["7 []"]


def test_a_forked_child_may_watch_itself_with_the_same_signal(tmp_path: Path) -> None:
    printed, _ = run(
        """
with watched():
    if (pid := os.fork()) == 0:
        with watched():
            os.kill(os.getpid(), signal.SIGUSR2)
            wait_for_dumps(1)
        os._exit(len(dumps()))
    print(ended(pid))
    os.kill(os.getpid(), signal.SIGUSR2)
    wait_for_dumps(2)
""",
        tmp_path,
    )
    assert printed == ["1"]


def test_a_system_call_that_the_program_waits_in_goes_on(tmp_path: Path) -> None:
    printed, _ = run(
        """
reader, writer = os.pipe()
errors = []

def wait():
    buffer = ctypes.create_string_buffer(1)
    errors.append(libc.read(reader, buffer, 1))

with watched():
    waiting = threading.Thread(target=wait)
    waiting.start()
    signal.pthread_kill(waiting.ident, signal.SIGUSR2)
    wait_for_dumps(1)
    os.write(writer, b"1")
    waiting.join()
print(errors)
""",
        tmp_path,
    )
    assert printed == ["[1]"]
