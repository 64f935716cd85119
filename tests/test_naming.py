"""How sentences name callables, statements and lines of code."""

import asyncio
import functools
import hashlib
import time
from pathlib import Path

import msgspec
import pytest
from gilscope.naming import name_of, place_of, quoted, shortened
from gilscope.records.stall import Frame

from tests.support.constructed import verdict


class CoroutineObject:
    async def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("what", "name"),
    [
        (hashlib.sha256, "_hashlib.openssl_sha256"),
        (functools.partial(sorted, [1]), "sorted"),
        ([].append, "list.append"),
        (time.sleep, "time.sleep"),
        (asyncio.run, "asyncio.runners.run"),
        (CoroutineObject(), "tests.test_naming.CoroutineObject"),
    ],
)
def test_a_callable_has_the_name_that_its_user_writes(what: object, name: str) -> None:
    assert name_of(what) == name


@pytest.mark.parametrize(
    ("name", "in_a_sentence"),
    [
        ("json.dumps", "json.dumps"),
        ("<lambda>", "<lambda>"),
        ("while True: pass", "`while True: pass`"),
        ("pass", "`pass`"),
        ("for row in rows:\n    parse(row)", "`for row in rows: ...`"),
    ],
)
def test_a_sentence_names_a_callable_and_quotes_a_statement(name: str, in_a_sentence: str) -> None:
    assert quoted(name) == in_a_sentence
    assert f"while {in_a_sentence} ran" in str(msgspec.structs.replace(verdict("hogs", 0.02), name=name))


def test_a_long_statement_is_shortened_to_its_beginning_and_its_end() -> None:
    assert shortened("zlib.compress(text, level=1)", 28) == "zlib.compress(text, level=1)"
    assert [shortened(f"zlib.compress(text, level={n})", 20) for n in (1, 9)] == [
        "zlib.compres...el=1)",
        "zlib.compres...el=9)",
    ]


def test_a_line_of_code_is_named_with_its_file_relative_to_the_working_directory() -> None:
    inside = Frame(file=str(Path.cwd() / "app" / "server.py"), line=41, function="report")
    assert place_of(inside) == "app/server.py:41 in report"
    assert place_of(Frame(file="/srv/server.py", line=41, function="report")) == "/srv/server.py:41 in report"
