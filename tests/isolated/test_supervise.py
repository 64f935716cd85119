import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from gilscope.isolated import supervise

from tests.support.child import gone, wait_until_gone


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that a test writes and a child process runs."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "the_child.py"


def write(child: Path, body: str) -> None:
    child.write_text(
        "import sys\nfrom pathlib import Path\nasked, answered = map(Path, sys.argv[1:])\n" + textwrap.dedent(body)
    )


def test_the_answer_of_a_child_is_separate_from_what_it_prints(child: Path) -> None:
    write(child, "print('talk'); answered.write_bytes(asked.read_bytes().upper())")
    outcome = supervise.run("the_child", b"question", timeout=60)
    assert (outcome.status, outcome.answer, outcome.reason, outcome.output) == ("finished", b"QUESTION", "", "talk\n")


def test_a_child_that_raises_has_died_and_its_last_line_is_the_reason(child: Path) -> None:
    write(child, "raise ValueError('of this')")
    outcome = supervise.run("the_child", b"", timeout=60)
    assert (outcome.status, outcome.reason) == ("died", "exit status 1: ValueError: of this")


def test_a_child_that_is_killed_has_died_of_the_signal(child: Path) -> None:
    write(child, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    outcome = supervise.run("the_child", b"", timeout=60)
    assert (outcome.status, outcome.reason) == ("died", "killed by SIGKILL")


def test_a_child_that_ends_without_an_answer_has_died(child: Path) -> None:
    write(child, "raise SystemExit(0)")
    outcome = supervise.run("the_child", b"", timeout=60)
    assert (outcome.status, outcome.reason) == ("died", "exit status 0")


@pytest.mark.parametrize(
    "end", ["os.abort()", "os._exit(7)", "threading.Thread(target=time.sleep, args=(100,)).start()"]
)
def test_an_answer_that_is_complete_counts_however_the_child_ends(
    child: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "EXIT_SECONDS", 0.2)
    write(child, f"import os, threading, time; answered.write_bytes(b'42'); {end}")
    outcome = supervise.run("the_child", b"", timeout=60)
    assert (outcome.status, outcome.answer, outcome.reason) == ("finished", b"42", "")


def test_a_child_that_holds_its_gil_for_ever_is_ended_in_time_while_the_parent_keeps_running(child: Path) -> None:
    write(child, "import gilscope; gilscope.countdown_held(2**63)")
    looks: list[float] = []
    outcome = supervise.run("the_child", b"", timeout=1.0, waiting=looks.append)
    assert (outcome.status, outcome.reason) == ("timed out", "not done after 1 s")
    assert len(looks) >= 5
    assert looks == sorted(looks)


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "time.sleep(1000)"])
def test_processes_that_the_child_started_end_with_it(child: Path, tmp_path: Path, end: str) -> None:
    note = tmp_path / "pid"
    write(
        child,
        f"""
        import subprocess, time
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        Path({str(note)!r}).write_text(str(sleeper.pid))
        answered.write_bytes(b"done")
        {end}
        """,
    )
    supervise.run("the_child", b"", timeout=3)
    wait_until_gone(int(note.read_text()))


def test_an_exception_in_the_parent_ends_the_child_first(child: Path, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    write(child, f"import os, time; Path({str(note)!r}).write_text(str(os.getpid())); time.sleep(1000)")

    def interrupt(_passed: float) -> None:
        if note.exists() and note.read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        supervise.run("the_child", b"", timeout=60, waiting=interrupt)
    assert gone(int(note.read_text()))


def test_a_module_in_the_working_directory_does_not_replace_the_standard_librarys(
    child: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "queue.py").write_text("raise RuntimeError('shadowed')")
    monkeypatch.chdir(trap)
    write(child, "import queue; answered.write_bytes(b'ok')")
    assert supervise.run("the_child", b"", timeout=60).status == "finished"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux's PR_SET_PDEATHSIG")
def test_a_child_ends_when_its_parent_is_killed(child: Path, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    write(
        child,
        f"""
        import os, time
        from gilscope.isolated import supervise
        supervise.die_with_parent()
        Path({str(note)!r}).write_text(str(os.getpid()))
        time.sleep(1000)
        """,
    )
    script = "from gilscope.isolated import supervise; supervise.run('the_child', b'', timeout=60)"
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        while not (note.exists() and note.read_text()):
            time.sleep(0.01)
        parent.kill()
    wait_until_gone(int(note.read_text()))


def test_a_child_whose_parent_ended_before_the_child_started_ends_itself(child: Path, tmp_path: Path) -> None:
    write(
        child, "from gilscope.isolated import supervise; supervise.die_with_parent(); answered.write_bytes(b'too late')"
    )
    another = {**os.environ, supervise.PARENT_VARIABLE: "1"}
    command = [sys.executable, "-m", "the_child", str(tmp_path / "request"), str(tmp_path / "answer")]
    assert subprocess.run(command, env=another, check=False).returncode == 1
    assert not (tmp_path / "answer").exists()
