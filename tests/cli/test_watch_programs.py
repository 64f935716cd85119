"""What `gilscope watch` runs, what it refuses, and reports while the program runs."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from gilscope.cli import BadInput
from gilscope.cli.programs import chosen

if TYPE_CHECKING:
    from functools import partial

SERVES = """
import asyncio, sys, time

async def main():
    await asyncio.sleep(0.05)
    time.sleep(1.0)
    await asyncio.sleep(0.05)
    print("stalled", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""
SECONDS_TO_LIVE = 120


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def script(file: Path, first_line: str) -> str:
    file.write_text(f"{first_line}\nimport sys; print(sys.argv, sys.path[0])\n")
    file.chmod(0o755)
    return str(file)


class TestACommand:
    def test_of_this_environment_is_run_as_the_shell_runs_it(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commands = folder / "bin"
        commands.mkdir()
        file = script(commands / "serve", f"#!{sys.executable}")
        monkeypatch.setenv("PATH", str(commands), prepend=":")
        run = [sys.executable, "-m", "gilscope", "watch", "serve", "app:app"]
        ended = subprocess.run(run, capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=True)
        assert ended.stdout == f"{[file, 'app:app']} {commands}\n"

    @pytest.mark.parametrize(
        "first_line",
        [
            f"#!{sys.executable} -E",
            "#!/usr/bin/env python3",
            "#!/usr/bin/env -S python",
            f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''",
        ],
    )
    def test_may_name_its_python_in_any_way(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, first_line: str
    ) -> None:
        script(folder / "bin-serve", first_line)
        monkeypatch.chdir("/")
        monkeypatch.setenv("PATH", str(folder), prepend=":")
        assert callable(chosen(None, ("bin-serve",)))

    def test_of_an_environment_that_may_be_moved_belongs_to_the_python_beside_it(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script(
            folder / "serve",
            "#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python' \"$0\" \"$@\"\n' '''",
        )
        monkeypatch.chdir("/")
        monkeypatch.setenv("PATH", str(folder), prepend=":")
        with pytest.raises(BadInput, match=f"it belongs to another Python, {folder}/python"):
            chosen(None, ("serve",))
        monkeypatch.setattr("sys.executable", str(folder / "python"))
        assert callable(chosen(None, ("serve",)))

    def test_of_the_python_that_a_virtual_environment_was_made_from_is_refused(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("base", "environment"):
            (folder / name).mkdir()
        (folder / "base" / "python3").touch()
        (folder / "environment" / "python").symlink_to(folder / "base" / "python3")
        script(folder / "base" / "serve", f"#!{folder}/base/python3")
        monkeypatch.setenv("PATH", str(folder / "base"), prepend=":")
        monkeypatch.setattr("sys.executable", str(folder / "environment" / "python"))
        monkeypatch.setattr("sys.prefix", str(folder / "environment"))
        with pytest.raises(BadInput, match="it belongs to another Python"):
            chosen(None, ("serve",))
        monkeypatch.setattr("sys.prefix", sys.base_prefix)
        assert callable(chosen(None, ("serve",)))

    def test_is_run_although_a_folder_has_its_name(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        commands = folder / "bin"
        commands.mkdir()
        file = script(commands / "serve", f"#!{sys.executable}")
        monkeypatch.setenv("PATH", str(commands), prepend=":")
        Path("serve").mkdir()
        assert cast("partial[None]", chosen(None, ("serve",))).args[0] == file
        script(Path("serve/__main__.py"), "")
        assert cast("partial[None]", chosen(None, ("serve",))).args[0] == "serve"

    @pytest.mark.parametrize(
        ("first_line", "complaint"),
        [
            (
                "#!/opt/other/bin/python3",
                "it belongs to another Python, /opt/other/bin/python3. Install serve beside gilscope",
            ),
            ("#!/bin/sh", "it is not a Python script"),
        ],
    )
    def test_that_cannot_be_watched_is_refused(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, first_line: str, complaint: str
    ) -> None:
        script(folder / "serve", first_line)
        monkeypatch.chdir("/")
        monkeypatch.setenv("PATH", str(folder), prepend=":")
        with pytest.raises(BadInput, match=complaint):
            chosen(None, ("serve",))


@pytest.mark.parametrize(
    ("module", "command_line", "complaint"),
    [
        (None, ("pytset",), "cannot run pytset: there is no such file here, .* Did you mean pytest?"),
        (None, ("app:app",), "app:app names an application, .*: gilscope watch uvicorn app:app$"),
        (None, ("progam.py",), "cannot open progam.py: it does not exist. Did you mean program.py?"),
        (None, ("no/such/file",), "cannot open no/such/file: it does not exist$"),
        ("no_such_module", (), "cannot run -m no_such_module: there is no module named no_such_module"),
        ("no_such_package.module", (), "there is no module named no_such_package"),
    ],
)
def test_what_does_not_exist_is_refused(module: str | None, command_line: tuple[str, ...], complaint: str) -> None:
    script(Path("program.py"), "")
    with pytest.raises(BadInput, match=complaint):
        chosen(module, command_line)


class TestWhatCannotBeLookedAt:
    """Neither the interpreter's status 1, which is the program's, nor a bug of gilscope's."""

    @pytest.mark.parametrize("name", ["n" * 300, "n" * 300 + ".py"])
    def test_a_name_that_is_too_long(self, name: str) -> None:
        with pytest.raises(BadInput, match=r"^cannot open n*(\.py)?: File name too long$"):
            chosen(None, (name,))

    def test_a_working_directory_that_is_gone(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        script(folder / "program.py", "")
        (folder / "gone").mkdir()
        monkeypatch.chdir(folder / "gone")
        (folder / "gone").rmdir()
        with pytest.raises(BadInput, match=r"^the working directory does not exist any more"):
            chosen("json.tool", ())
        with pytest.raises(BadInput, match=r"^cannot run pytset: .* Did you mean pytest\?"):
            chosen(None, ("pytset",))
        assert callable(chosen(None, (str(folder / "program.py"),)))

    def test_what_must_not_be_read(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        script(folder / "program.py", "")
        (folder / "bin").mkdir()
        command = script(folder / "bin" / "serve", f"#!{sys.executable}")
        monkeypatch.setenv("PATH", str(folder / "bin"), prepend=":")
        refuse(monkeypatch, "open")  # root may read all
        with pytest.raises(BadInput, match=r"^cannot open program\.py: Permission denied$"):
            chosen(None, ("program.py",))
        with pytest.raises(BadInput, match=rf"^cannot open {command}: Permission denied$"):
            chosen(None, ("serve",))

    def test_a_folder_that_must_not_be_searched(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "bin").mkdir()
        command = script(folder / "bin" / "serve", f"#!{sys.executable}")
        monkeypatch.setenv("PATH", str(folder / "bin"), prepend=":")
        refuse(monkeypatch, "stat")
        with pytest.raises(BadInput, match=r"^cannot open closed/program\.py: Permission denied$"):
            chosen(None, ("closed/program.py",))
        assert cast("partial[None]", chosen(None, ("serve",))).args[0] == command


def refuse(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Make a method of paths fail as the system's call would."""

    def fail(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, method, fail)


@pytest.mark.parametrize("text", ["import no_such_module", "raise SystemExit('no such option')"])
def test_a_program_that_fails_before_a_loop_runs_has_no_report(text: str) -> None:
    Path("program.py").write_text(text)
    plain = subprocess.run([sys.executable, "program.py"], capture_output=True, check=False)
    watched = subprocess.run(
        [sys.executable, "-m", "gilscope", "watch", "program.py"], capture_output=True, check=False
    )
    assert (watched.returncode, watched.stderr) == (plain.returncode, plain.stderr)


ADOPTS_ORPHANS = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(36, 1); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
"""Like process 1 of a container, this process would have the reporter process as a child."""


@pytest.mark.parametrize("first", [[], ["-c", ADOPTS_ORPHANS]], ids=["reporter", "process 1"])
@pytest.mark.parametrize("options", [["--for", "1s"], ["--on-signal", "USR1"]], ids=" ".join)
def test_a_report_while_the_program_runs_leaves_the_program_running(options: list[str], first: list[str]) -> None:
    Path("program.py").write_text(SERVES)
    with subprocess.Popen(
        [sys.executable, *first, "-m", "gilscope", "watch", *options, "program.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "stalled\n"
        if "USR1" in options:
            process.send_signal(signal.SIGUSR1)
        report = process.stderr.readline()
        while "the program runs on" not in report:
            report += (line := process.stderr.readline())
            assert line, report
        assert process.poll() is None
        process.stdin.close()
        rest = process.stderr.read()
        assert process.wait(SECONDS_TO_LIVE) == 0
    assert report.startswith("gilscope watch: ")
    assert ("the watch has ended" in report) == ("--for" in options)
    assert "the program runs on; " in report
    assert rest.count("gilscope watch: ") == (1 if "USR1" in options else 0)


def test_after_the_time_of_for_a_program_without_a_loop_has_one_report() -> None:
    Path("program.py").write_text("import time; time.sleep(1.6)")
    run = [sys.executable, "-m", "gilscope", "watch", "--for", "100ms", "program.py"]
    said = subprocess.run(run, capture_output=True, text=True, timeout=SECONDS_TO_LIVE, check=True).stderr
    assert said.count("gilscope watch: ") == 1
    assert "the program runs on; the figures are 1." in said
