from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from gilscope.comparison import statement_module
from gilscope.isolated.payload import Statement

if TYPE_CHECKING:
    from pathlib import Path


def defined(setup: str, statement: str) -> tuple[list[str], Any]:
    """Return the names of a statement's arguments, and what a call with their values brings."""
    namespace: dict[str, Any] = {"__name__": "a_module"}
    exec(setup, namespace)  # noqa: S102 - what the command does
    statement_module.define(namespace, statement)
    names = namespace[statement_module.ARGUMENTS]
    return names, namespace[statement_module.FUNCTION](*(namespace[name] for name in names))


@pytest.mark.parametrize(
    ("setup", "statement", "arguments", "brings"),
    [
        ("import json; text = '[1]'", "json.loads(text)", ["text"], [1]),
        ("from json import loads; text = '[1]'", "loads(text)", ["text"], [1]),
        ("def double(n): return 2 * n\nn = 4", "double(n)", ["n"], 8),
        ("class Box: size = 3", "Box.size", [], 3),
        ("n = 3", "n -= 1\nn", ["n"], 2),
        ("data = [3, 1]", "sorted(data)[0]", ["data"], 1),
        ("data = [3, 1]", "x = data[0]", ["data"], None),
        ("a = 1; b = 2", "b + a", ["b", "a"], 3),
        ("", "[i * i for i in range(3)]", [], [0, 1, 4]),
        ("", "pass", [], None),
    ],
)
def test_what_the_setup_assigned_is_sent_and_what_it_defined_is_not(
    setup: str, statement: str, arguments: list[str], brings: Any
) -> None:
    assert defined(setup, statement) == (arguments, brings)


def test_a_statement_is_found_in_its_module_by_name(tmp_path: Path) -> None:
    name = statement_module.write(tmp_path, "import json\ntext = '[1, 2]'", "json.loads(text)")
    function, args = Statement(str(tmp_path), name, statement_module.FUNCTION, statement_module.ARGUMENTS).load()
    assert args == ("[1, 2]",)
    assert function(*args) == json.loads("[1, 2]")
    assert (function.__module__, function.__qualname__) == (name, statement_module.FUNCTION)


def test_two_statements_do_not_share_a_module(tmp_path: Path) -> None:
    assert statement_module.write(tmp_path, "n = 1", "n") != statement_module.write(tmp_path, "n = 2", "n")
