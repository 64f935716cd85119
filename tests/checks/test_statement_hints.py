"""A statement that cannot be checked is answered with what to write instead."""

from __future__ import annotations

import pytest
from gilscope.checks.statement import StatementError, must_be_python
from gilscope.checks.statement_hints import only_a_name, what_to_define


@pytest.mark.parametrize(("statement", "name"), [("build_report", "build_report"), (" json.dumps\n", "json.dumps")])
def test_a_statement_that_only_names_something_is_refused(statement: str, name: str) -> None:
    assert only_a_name(statement) == name
    with pytest.raises(StatementError, match=rf"^`?{name}`? only names something, .* write `?{name}\(\)"):
        must_be_python(statement, setup="")


@pytest.mark.parametrize(
    "statement", ["build_report()", "x[0]", "a + b", "pass", "1", "a; b", "x = y", "f().x", "await x", "1 +", "", "\0"]
)
def test_any_other_statement_may_do_something(statement: str) -> None:
    assert only_a_name(statement) == ""


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
