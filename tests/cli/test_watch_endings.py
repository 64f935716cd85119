"""However a watched program ends, its report arrives, and it ends as it would have ended without a watch."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from gilscope.cli.watch_program import ProgramEnd

STALLS_AND = """
    import asyncio, os, signal, sys, time

    def nap():
        time.sleep(1.0)

    async def main():
        await asyncio.sleep(0.05)
        nap()
        await asyncio.sleep(0.2)
        end()

    def end():
        {end}

    {start}
    asyncio.run(main())
"""
"""A program that stalls once, in line 4, and then ends in its own way. A busy machine stands still for some tenths of a second."""
SECONDS_TO_LIVE = 120
WAITS = "time.sleep(1); print('stalled', flush=True); time.sleep(60)"
"""A signal that comes after the output finds a stall that has been judged and passed on: that is soon, but not at once."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def program(*, end: str = "pass", start: str = "") -> str:
    Path("program.py").write_text(dedent(STALLS_AND).format(end=end, start=start).lstrip())
    return "program.py"


def watch(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end. Its reporter has ended as well: it keeps the pipe open that is read here."""
    return subprocess.run(
        [sys.executable, "-m", "gilscope", "watch", *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS_TO_LIVE,
        check=False,
    )


def told(report: str) -> None:
    """Assert that there is one report, and that it names the stall. On a busy machine there may be others beside it."""
    assert report.count("gilscope watch: ") == 1
    assert re.search(r"\n\d+\. blocked, waiting: [01]\.\d\d s, once\n   at program\.py:4 in nap", report), report


def test_a_signal_from_outside_ends_the_program_by_that_signal_and_the_report_and_its_files_arrive() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "gilscope", "watch", "-o", "out.json", "-o", "out.perfetto.json", program(end=WAITS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "stalled\n"
        process.send_signal(signal.SIGTERM)
        report = process.stderr.read()
        assert process.wait(SECONDS_TO_LIVE) == -signal.SIGTERM
    told(report)
    assert "the program was ended by SIGTERM; the figures end " in report
    saved = json.loads(Path("out.json").read_bytes())
    assert (saved["ending"]["kind"], saved["ending"]["signal"]) == ("signal", "SIGTERM")
    assert saved["time"] is not None
    assert max(filter(None, saved["timeline"]["worst"])) > 0.9
    events = json.loads(Path("out.perfetto.json").read_bytes())["traceEvents"]
    assert "blocked, waiting" in {event["name"] for event in events}
    assert {event["pid"] for event in events} == {process.pid}


@pytest.mark.parametrize(
    ("end", "start", "status", "sentence"),
    [
        ("os.kill(os.getpid(), signal.SIGQUIT)", "", -signal.SIGQUIT, "was ended by SIGQUIT"),
        ("signal.raise_signal(signal.SIGUSR2)", "", -signal.SIGUSR2, "was ended by SIGUSR2"),
        ("os.setpgid(0, 0); os.killpg(0, signal.SIGHUP)", "", -signal.SIGHUP, "was ended by SIGHUP"),
        ("os.abort()", "", -signal.SIGABRT, "was ended by SIGABRT"),
        ("os._exit(3)", "", 3, "exited with status 3 without running its exit handlers, as os._exit does"),
        (
            "os.kill(os.getpid(), signal.SIGTERM)",
            "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))",
            5,
            "",
        ),
    ],
)
def test_a_program_that_ends_itself_waits_for_its_report(end: str, start: str, status: int, sentence: str) -> None:
    """The end of process 1 of a container, which follows soon after, also ends the process that gives the report."""
    with Path("report").open("w") as stderr:
        command = [sys.executable, "-m", "gilscope", "watch", "-o", "out.json", program(end=end, start=start)]
        assert subprocess.call(command, stderr=stderr) == status
        report, saved = Path("report").read_text(), Path("out.json").read_bytes()
    told(report)
    assert sentence in " ".join(report.split())
    assert "figures end" not in report
    assert bool(json.loads(saved)["ending"]) == bool(sentence)


@pytest.mark.parametrize(
    ("end", "status", "sentence"),
    [
        (
            "os.execv(sys.executable, [sys.executable, '-c', 'raise SystemExit(4)'])",
            4,
            "the program replaced itself by another",
        ),
        ("__import__('ctypes').string_at(0)", -signal.SIGSEGV, "the program was ended by SIGSEGV; the figures end "),
    ],
)
def test_a_program_that_python_cannot_see_ending_has_its_report(end: str, status: int, sentence: str) -> None:
    ended = watch(program(end=end, start="try: os.execv('missing', ['missing'])\nexcept OSError: pass"))
    assert ended.returncode == status
    told(ended.stderr)
    assert sentence in ended.stderr


def test_a_stall_that_the_program_does_not_survive_is_reported_with_its_line() -> None:
    ended = watch(program(start="signal.alarm(3)", end="time.sleep(60)"))
    assert ended.returncode == -signal.SIGALRM
    sentence = r"one stall was not over: 1\.\d+ s so far at program\.py:13 in end \(thread MainThread\)"
    assert re.search(sentence, " ".join(ended.stderr.split())), ended.stderr


def test_a_program_that_is_killed_in_its_first_callback_has_a_report() -> None:
    Path("program.py").write_text(
        "import asyncio, ctypes, os, signal\n"
        "async def main():\n"
        "    ctypes.PyDLL(None).usleep(300_000)\n"
        "    ctypes.CDLL(None).kill(os.getpid(), signal.SIGRTMIN + 3)\n"
        "asyncio.run(main())\n"
    )
    ended = watch("-o", "out.json", "program.py")
    assert ended.returncode == -(signal.SIGRTMIN + 3)
    assert "the program was ended by SIGRTMIN+3; the figures end " in ended.stderr
    assert re.search(r"one stall was not over: [2-9]\d\d ms so far", ended.stderr), ended.stderr
    assert "no other stall over 50.0 ms was seen" in ended.stderr
    assert json.loads(Path("out.json").read_bytes())["ending"]["stalls"]


@pytest.mark.parametrize(
    "start",
    [
        "os.closerange(3, 2000)",
        "sys.stderr.close(); os.close(2); os.environ.clear(); sys.path.clear()\nif os.getuid() == 0: os.mkdir('empty'); os.chroot('empty'); os.setuid(65534)",
    ],
)
def test_what_the_program_does_to_itself_does_not_cost_the_report(start: str) -> None:
    """In these the way to a line may be gone (after chroot there is no /proc), but not the report."""
    ended = watch("-o", "out.json", program(start=start))
    assert ended.returncode == 0
    assert ended.stderr.count("gilscope watch: ") == 1
    assert re.search(r"\d+ stalls? over 50\.0 ms", ended.stderr)
    assert "cannot" not in ended.stderr
    assert json.loads(Path("out.json").read_bytes())["snapshot"]["sites"]


def test_a_program_with_a_full_stderr_keeps_its_exit_status_and_its_file_is_written() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        status = subprocess.call(
            [sys.executable, "-m", "gilscope", "watch", "-o", "out.json", program(end="os._exit(3)")], stderr=full
        )
    assert status == 3
    assert json.loads(Path("out.json").read_bytes())["kind"] == "watch"


def test_a_child_that_outlives_the_program_does_not_hold_the_report_back() -> None:
    ended = watch(program(end="os.fork() or (os.closerange(0, 3), time.sleep(5), os._exit(0))"))
    assert ended.returncode == 0
    told(ended.stderr)
    assert "1 child process was started, but not watched" in ended.stderr


def test_a_server_that_is_killed_beside_its_workers_is_told_that_they_were_not_watched() -> None:
    """It has no loop of its own, so nothing is passed on but that it has workers."""
    Path("program.py").write_text(
        "import os, signal, sys\n"
        "if os.fork() == 0: os.kill(os.getpid(), signal.SIGTERM)\n"
        "os.posix_spawn(sys.executable, [sys.executable, '-c', ''], {})\n"
        "os.wait(); os.wait(); signal.alarm(1); signal.pause()\n"
    )
    ended = watch("program.py")
    assert ended.returncode == -signal.SIGALRM
    assert "2 child processes were started, but not watched: to watch what" in ended.stderr
    assert "loop lag: no event loop was watched" in ended.stderr


def test_the_program_does_not_see_the_reporter() -> None:
    Path("program.py").write_text(
        dedent(
            """
            import copy, inspect, os, pickle, posix, signal, sys, threading
            print(os.open("/dev/null", os.O_RDONLY), threading.active_count(), os.getpid() == os.getpgid(0))
            print([signal.getsignal(number) for number in sorted(signal.valid_signals())])
            print(any(open(f"/proc/self/task/{task}/children").read() for task in os.listdir("/proc/self/task")))
            for function in (os._exit, os.abort, os.execv, os.execve, os.kill, os.killpg, signal.raise_signal):
                print(repr(function), function.__name__, function.__module__, inspect.isbuiltin(function))
                print(pickle.dumps(function), copy.deepcopy(function) is function, inspect.signature(function))
            print(os.execve in os.supports_fd, os.kill is posix.kill)
            try:
                os.wait()
            except ChildProcessError as error:
                print(error)
            for call in ("os.execv('missing', ['missing'])", "os._exit('text')", "os.abort(1)", "os.kill(0, 'text')"):
                try:
                    eval(call)
                except Exception as error:
                    print(error, error.__traceback__.tb_next.tb_next)
            """
        )
    )
    plain = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True, check=True)
    watched = watch("program.py")
    assert watched.stdout == plain.stdout


@pytest.mark.parametrize(
    ("end", "status", "sentence"),
    [
        ("os._exit(3)", 3, "the program exited with status 3"),
        ("os.execv(sys.executable, [sys.executable, '-c', 'raise SystemExit(4)'])", 4, "the program replaced itself"),
        ("os.getuid() or os.chroot(os.path.expanduser('~'))", 0, ""),
    ],
)
def test_where_no_reporter_process_can_be_started_the_program_reports_itself(
    end: str, status: int, sentence: str
) -> None:
    """A process that adopts orphans, like process 1 of a container, would have the reporter as a child."""
    adopts_orphans = "import ctypes, os, sys; ctypes.CDLL(None).prctl(36, 1); os.execv(sys.executable, sys.argv[1:])"
    ended = subprocess.run(
        [sys.executable, "-c", adopts_orphans, sys.executable, "-m", "gilscope", "watch", program(end=end)],
        capture_output=True,
        text=True,
        timeout=SECONDS_TO_LIVE,
        check=False,
    )
    assert ended.returncode == status
    assert ended.stderr.count("gilscope watch: ") == 1
    assert re.search(r"blocked, waiting: [01]\.\d\d s, once\n +at .*program\.py:4\s+in nap", ended.stderr), ended.stderr
    assert sentence in ended.stderr


def test_ctrl_c_does_not_interrupt_the_report_at_exit() -> None:
    end = object.__new__(ProgramEnd)
    end.report = lambda *_: signal.raise_signal(signal.SIGINT)  # type: ignore[method-assign]
    end.report_at_exit()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_if_the_reporter_process_is_killed_the_program_reports_itself() -> None:
    kills_it = """
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        files = {os.readlink(f"/proc/{pid}/fd/{number}") for number in (2, 4)}
    except OSError:
        continue
    if os.readlink("/proc/self/fd/2") in files and "/memfd:gilscope (deleted)" in files:
        os.kill(int(pid), signal.SIGKILL)
"""
    ended = watch("-o", "out.json", program(start=kills_it))
    assert ended.returncode == 0
    told(ended.stderr)
    assert json.loads(Path("out.json").read_bytes())["ending"] is None
