import sys
from collections.abc import Iterator

import gilscope
import pytest

from tests.support.truth import STANDARD, TABLE, Case

REPEATS = 2
"""One ``too short`` is an honest answer on a machine that is busy elsewhere; a wrong word never is."""

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(
        not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="there is no GIL to hog, yield or release"
    ),
]


def test_the_table_has_thirty_callables_of_the_standard_library_and_each_says_where_its_truth_stands() -> None:
    assert len(STANDARD) >= 30
    assert all(case.where for case in TABLE)
    assert {case.truth for case in STANDARD} == {"releases", "yields", "hogs"}


@pytest.fixture(scope="module")
def kinds() -> Iterator[list[str]]:
    """Collect the verdicts: a method that never said a word would never say a wrong one."""
    given: list[str] = []
    yield given
    assert given.count("too short") <= len(given) / 4


@pytest.mark.parametrize("case", TABLE, ids=[case.name for case in TABLE])
def test_the_verdict_is_the_truth_of(case: Case, kinds: list[str]) -> None:
    call = case.make()
    for _ in range(REPEATS):
        verdict = gilscope.check(call, time=0.25)
        if verdict.kind != "too short":
            break
    kinds.append(verdict.kind)
    assert verdict.kind in (case.truth, "too short"), f"{verdict}\n{verdict.evidence}"
    if verdict.kind == "too short":
        pytest.xfail(f"the machine is too busy: {verdict.evidence}")
