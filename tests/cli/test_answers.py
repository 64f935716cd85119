"""The exit status is the answer also if nobody reads the output, and what was measured is shown also if the rest fails."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest
from gilscope.checks import statement
from gilscope.checks.statement import StatementError
from gilscope.cli import main

from tests.records.test_verdict import example

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilscope.records.result import Result, Trial
    from gilscope.records.verdict import Verdict

FOUND: dict[str, Verdict | BaseException] = {
    "hold()": example(name="hold()", kind="hogs", longest_hold=0.05),
    "sleep()": example(
        name="sleep()", kind="releases", released=1.0, yielded=0.0, hogged=0.0, longest_hold=0.0, long_holds=0
    ),
    "1/0": StatementError("`1/0` cannot be run:\nZeroDivisionError: division by zero"),
    "interrupted()": KeyboardInterrupt(),
    "terminated()": SystemExit(143),
    "faulty()": ZeroDivisionError("a bug of ours"),
}


@pytest.fixture(autouse=True)
def _measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each statement have been measured."""

    def check_statement(code: str, **_: object) -> Verdict:
        found = FOUND[code]
        if isinstance(found, BaseException):
            raise found
        return found

    monkeypatch.setattr(statement, "check_statement", check_statement)


@contextmanager
def nobody_reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the readers of stdout and stderr have gone. No fixture: pytest sets the streams after those."""
    streams = []
    for name in ("stdout", "stderr"):
        reader, writer = os.pipe()
        os.close(reader)
        streams.append(os.fdopen(writer, "w"))
        monkeypatch.setattr(sys, name, streams[-1])
    yield
    monkeypatch.undo()
    for stream in streams:
        stream.close()  # which flushes, as the interpreter does at exit


@pytest.mark.parametrize("extra", [(), ("--json",)])
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("hold()",), 0),
        (("hold()", "--expect", "hogs"), 0),
        (("hold()", "--expect", "releases"), 1),
        (("hold()", "--max-hold", "5ms"), 1),
        (("hold()", "sleep()", "--expect", "releases"), 1),
        (("hold()", "sleep()"), 0),
        (("1/0",), 2),
        (("1/0", "sleep()"), 2),
        (("x",), 2),
        (("sleep()", "faulty()"), 3),
        (("sleep()", "interrupted()"), 130),
    ],
)
def test_the_status_is_the_answer_although_nobody_reads_it(
    arguments: tuple[str, ...], extra: tuple[str, ...], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with nobody_reads(monkeypatch):
        assert main(["check", *arguments, *extra]) == status


@pytest.mark.parametrize("json", [(), ("--json", "-")])
def test_a_demo_that_did_not_finish_exits_with_3_although_nobody_reads_it(
    json: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    run_of: Callable[..., Result],
    finished: Callable[..., Trial],
) -> None:
    died = msgspec.structs.replace(finished("thread/held"), status="died", reason="killed", measure=None)
    monkeypatch.setattr("gilscope.cli.demo._run", lambda *_: run_of(died))
    with nobody_reads(monkeypatch):
        assert main(["demo", *json]) == 3


@pytest.mark.parametrize(
    ("last", "status"), [("1/0", 2), ("faulty()", 3), ("interrupted()", 130), ("terminated()", 143)]
)
def test_what_was_measured_is_shown_and_judged_whatever_happens_to_the_last_statement(
    last: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["check", "--expect", "releases", "--max-hold", "5ms", "hold()", "sleep()", last]
    if status == 143:
        with pytest.raises(SystemExit):
            main(asked)
    else:
        assert main(asked) == status
    out, err = capsys.readouterr()
    rows = [line.split()[:2] for line in out.splitlines()[1:3]]
    assert rows == [["hold()", "hogs"], ["sleep()", "releases"]]
    assert "expected that `hold()` releases, but it hogs\n" in err
    assert "`hold()` stalls an event loop in its process for 50.0 ms; the limit is 5.00 ms\n" in err
