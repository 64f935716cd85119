"""With stderr closed, sentences of gilscope's do not get into stdout, and no answer is lost."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from gilscope.checks import statement
from gilscope.cli import main, watch
from gilscope.reports import stderr

if TYPE_CHECKING:
    import pytest


def fail(*_: object, **__: object) -> None:
    raise ZeroDivisionError


def test_nothing_is_printed_if_stderr_is_closed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    stderr.say("a sentence")
    monkeypatch.setattr(sys, "__stderr__", None)
    assert watch._stderr() is None
    assert main(["check", "x("]) == 2
    monkeypatch.setattr(statement, "check_statement", fail)
    assert main(["check", "x()"]) == 3
    assert capsys.readouterr().out == ""


def test_a_stderr_that_cannot_be_written_to_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    for broken in (closed, object()):
        monkeypatch.setattr(sys, "stderr", broken)
        stderr.say("a sentence")


def test_a_sentence_says_whose_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    stderr.say("a sentence")
    assert capsys.readouterr().err == "gilscope: a sentence\n"
