"""Which of the holds that were over a limit is named."""

from __future__ import annotations

import pytest
from gilscope.checks.limit import Over, chosen
from gilscope.records.stall import Frame

from tests.support import child

LINE = (Frame("app.py", 3, "load"),)


def over(seconds: float, *, known: bool) -> Over:
    return Over(seconds, collecting=False, brief=False, thread="pool_0", stack=LINE if known else ())


def test_nothing_was_over_the_limit() -> None:
    assert chosen([]) is None


@pytest.mark.parametrize(
    ("holds", "named"),
    [
        ([over(0.3, known=True), over(0.4, known=True), over(0.1, known=True)], over(0.4, known=True)),
        ([over(0.3, known=False), over(0.4, known=False)], over(0.4, known=False)),
        # One that is about as long and has a line says more than the longest without.
        ([over(0.3, known=True), over(0.4, known=False), over(0.25, known=True)], over(0.3, known=True)),
        ([over(0.1, known=True), over(0.4, known=False)], over(0.4, known=False)),
    ],
)
def test_the_longest_is_named_or_one_about_as_long_whose_line_is_known(holds: list[Over], named: Over) -> None:
    assert chosen(holds) == named


def test_it_imports_no_asyncio_into_the_program() -> None:
    script = """
import sys
from gilscope.checks.limit import holds
with holds(0.02):
    pass
print("asyncio" in sys.modules)
"""
    assert child.output(script) == ["False"]
