from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from contextlib import closing
from typing import Any

import pytest
from gilscope.reports.console import PlainConsole
from gilscope.top.terminal import Terminal

from tests.top.on_terminal import ALTERNATE, HIDE, SHOW, USUAL, OnTerminal, shown_service, text_of

SUMMARY = "gilscope watch: "
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|4[0-7]|38;5;\d+)m")


def is_restored(terminal: OnTerminal, output: str) -> bool:
    """Whether the alternate screen was left, the cursor is visible, and the settings are as before."""
    return (
        USUAL in output
        and SHOW in output
        and output.rindex(USUAL) > output.rfind(ALTERNATE)
        and output.rindex(SHOW) > output.rfind(HIDE)
        and termios.tcgetattr(terminal.slave) == terminal.settings
    )


def test_keys_choose_a_thread_pause_and_quit_and_the_terminal_is_restored_before_the_summary() -> None:
    with shown_service() as terminal:
        first = terminal.wait_for("q quit")
        assert ALTERNATE in first
        assert not termios.tcgetattr(terminal.slave)[3] & (termios.ECHO | termios.ICANON)
        terminal.type("\x1b[B")
        terminal.wait_for("STACK of MainThread")
        terminal.type("\x1b[B")
        terminal.wait_for("STACK of asyncio_0")
        terminal.type("p")
        terminal.wait_for("PAUSED at")
        terminal.type("\x1b[A")  # while it is paused, the stacks of all threads are those of that moment
        terminal.wait_for("STACK of MainThread")
        terminal.type("xr")
        terminal.wait_for("p pause")
        terminal.type("q")
        status, end = terminal.wait()
        assert status == 0
        assert is_restored(terminal, end)
        assert end.index(USUAL) < end.index(SUMMARY)
        assert "over: quit" in end


@pytest.mark.parametrize(
    ("end_it", "over"),
    [
        (lambda terminal: terminal.type("\x03"), signal.SIGINT),
        (lambda terminal: terminal.process.send_signal(signal.SIGTERM), signal.SIGTERM),
        (lambda terminal: terminal.process.send_signal(signal.SIGHUP), signal.SIGHUP),
    ],
)
def test_after_a_signal_the_terminal_is_restored_and_the_summary_printed(end_it: Any, over: signal.Signals) -> None:
    with shown_service() as terminal:
        terminal.wait_for("q quit")
        end_it(terminal)
        _, end = terminal.wait()
        assert is_restored(terminal, end)
        assert SUMMARY in end
        assert f"over: {over}" in end


def test_when_the_process_ends_the_view_does() -> None:
    with shown_service("ends") as terminal:
        terminal.wait_for("q quit")
        _, end = terminal.wait()
        assert is_restored(terminal, end)
        assert "over: ended" in end


def test_an_exception_in_the_view_leaves_the_terminal_as_it_was() -> None:
    with shown_service("fails") as terminal:
        terminal.wait_for("q quit")
        status, end = terminal.wait()
        assert is_restored(terminal, end)
        assert status == 1
        assert end.index(USUAL) < end.index("this view fails")


def test_a_shell_can_suspend_the_view_and_bring_it_back() -> None:
    with OnTerminal(["bash", "--norc", "--noprofile", "-i"], PS1="shell> ") as terminal:
        terminal.wait_for("shell> ")
        terminal.type(f"{sys.executable} -m tests.top.show_service runs\n")
        terminal.wait_for("q quit")
        terminal.type("\x1a")
        assert USUAL in terminal.wait_for("shell> ")
        terminal.type("echo as$((40 + 2))before\n")  # the shell echoes what is typed, and understands a line
        terminal.wait_for("as42before")
        terminal.type("fg\n")
        assert ALTERNATE in terminal.wait_for("q quit")
        terminal.type("q")
        assert USUAL in terminal.wait_for("over: quit")
        terminal.type("exit\n")
        terminal.wait()


def test_a_terminal_that_changes_its_size_is_filled_again() -> None:
    with shown_service(columns=80, rows=24) as terminal:
        assert "BUSY WITH" in terminal.wait_for("q quit")
        terminal.resize(160, 50)
        wide = text_of(terminal.wait_for("gilscope takes"))
        while len(max(wide.splitlines(), key=len)) < 120:  # a screen for the old size was under way
            wide = text_of(terminal.wait_for("gilscope takes"))
        assert re.search(r"^GIL .* BUSY WITH", wide, re.MULTILINE)
        terminal.type("q")
        terminal.wait()


def test_with_no_color_there_is_no_colour() -> None:
    with shown_service("stalls") as coloured, shown_service("stalls", NO_COLOR="1") as plain:
        assert COLOUR.search(coloured.wait_for("q quit"))
        without = plain.wait_for("q quit")
        assert not COLOUR.search(without)
        assert "\x1b[1;7m" in without, "a stall stands out all the same"


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"TERM": ""}])
def test_a_terminal_that_cannot_be_drawn_on_gets_a_line_a_second(environment: dict[str, str]) -> None:
    with shown_service("ends soon", **environment) as terminal:
        _, output = terminal.wait()
        first, *_ = output.splitlines()
        assert "\x1b" not in first
        assert "loop 1 80% busy" in first


def test_without_a_terminal_there_is_a_line_a_second() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.top.show_service", "ends soon"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "FORCE_COLOR": "1"},
    )
    first, *_ = ended.stdout.splitlines()
    assert re.fullmatch(
        r"\d+\.\d s: loop 1 80% busy, lag p50 .* ms, p99 .* ms, max 2.00 ms; GIL held 70% \(MainThread 50%, asyncio_0 20%\)",
        first,
    )
    assert SUMMARY in ended.stdout


def test_a_reader_that_goes_ends_it() -> None:
    command = f"{sys.executable} -m tests.top.show_service runs | head -1"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    assert re.match(r"\d+\.\d s: loop 1", ended.stdout)


def test_when_the_terminal_is_closed_the_view_ends_without_a_word() -> None:
    with shown_service(said=subprocess.PIPE) as terminal:
        terminal.wait_for("q quit")
        terminal.hang_up()
        _, said = terminal.process.communicate(timeout=60)
        assert said == b""


def test_a_terminal_that_is_gone_before_its_signal_has_arrived_is_not_a_person_who_quits() -> None:
    """The system may say so to whoever reads the terminal before the signal is handled."""
    master, slave = pty.openpty()
    with closing(os.fdopen(slave, "rb")):
        console = PlainConsole(file=io.StringIO())
        with Terminal(console, slave) as terminal:
            os.close(master)
            with pytest.raises(OSError, match=r"gone|Input/output"):
                terminal.wait(time.monotonic() + 60)
