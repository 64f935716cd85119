"""A statement that cannot be checked is answered with what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from gilscope.checks.statement import StatementError, must_be_python
from gilscope.checks.statement_hints import does_nothing, what_to_define

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("build_report", "build_report only names something, and does nothing: to call it, write `build_report()`"),
        (" json.dumps\n", "json.dumps only names something, and does nothing: to call it, write `json.dumps()`"),
        ("lambda: f(1)", "`lambda: f(1)` only makes a function: to run what is in it, write `f(1)`"),
        ("'f(1)'", "`'f(1)'` is a text, and does nothing: write the statement without the inner quotes: f(1)"),
        ("def f(): g()", "`def f(): g()` only defines f: put the definition into -s, and write `f()`"),
        ("app.py", "app.py is a file, not a statement: to run and watch it, write gilscope watch app.py"),
    ],
)
def test_a_statement_that_calls_nothing_is_refused_with_what_to_write(
    statement: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").touch()
    with pytest.raises(StatementError) as error:
        must_be_python(statement, setup="")
    assert str(error.value) == complaint


@pytest.mark.parametrize(
    "statement",
    [
        *(
            "build_report()",
            "x[0]",
            "a + b",
            "pass",
            "1",
            "a; b",
            "x = y",
            "f().x",
            "await x",
            "1 +",
            "",
            "\0",
            "f'{x}'",
        ),
        *("import json", "[a for a in b]", "def f(): pass\nf()", "class A:\n  f()"),
    ],
)
def test_any_other_statement_may_do_something(statement: str) -> None:
    assert does_nothing(statement) == ""


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("json.dumps([])", 'Import it in the setup: -s "import json".'),
        ("xml.etree", 'Import it in the setup: -s "import xml".'),
        ("np.zeros(3)", 'Import it in the setup: -s "import numpy as np".'),
        (
            "build_report()",
            'Define build_report in the setup: -s "build_report = ...", or -s "from your_module import build_report".',
        ),
        ("def f(): json\nf()", 'Import it in the setup: -s "import json".'),
        ("1 / 0", ""),
        ("int('a')", ""),
        ("def f():\n x\n x = 1\nf()", ""),
        ("outside()", ""),
        ("raise NameError('mine')", ""),
    ],
)
def test_a_missing_name_is_answered_with_its_import(source: str, hint: str) -> None:
    def outside() -> None:
        json.dumps([])  # type: ignore[name-defined]  # noqa: F821 - a fault of the program's own

    with pytest.raises(Exception) as raised:  # noqa: PT011 - of any type
        exec(compile(source, "<statement>", "exec"), {"outside": outside} if source == "outside()" else {})  # noqa: S102
    assert what_to_define(raised.value, "<statement>", "<setup>").strip() == hint
