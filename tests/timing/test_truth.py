"""The verdict on each callable of the table is the one that its source code says, or undecided because there are too few samples."""

import sys
from collections import Counter

import gilscope
import pytest

from tests.support.truth import STANDARD, TABLE, Case

MAX_UNDECIDED_SHARE = 0.25
"""Of the table. On a busy machine a verdict may be undecided; a method that always is would never be wrong either."""

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(
        not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="there is no GIL to hog, yield or release"
    ),
]

kinds: Counter[str] = Counter()


def test_the_table_has_thirty_callables_of_the_standard_library_and_names_the_source_of_each_truth() -> None:
    assert len(STANDARD) >= 30
    assert all(case.where for case in TABLE)
    assert {case.truth for case in STANDARD} == {"releases", "yields", "hogs"}


@pytest.mark.parametrize("case", TABLE, ids=[case.name for case in TABLE])
def test_the_verdict_is_the_truth_of(case: Case) -> None:
    verdict = gilscope.check(case.make(), time=0.25)
    kinds[verdict.kind] += 1
    if verdict.kind == "undecided":
        assert verdict.reason == "too few samples", f"{verdict}\n{verdict.evidence}"
    else:
        assert verdict.kind == case.truth, f"{verdict}\n{verdict.evidence}"


def test_at_most_a_quarter_of_these_verdicts_is_undecided() -> None:
    if kinds.total() < len(TABLE):
        pytest.skip("only a part of the table was checked")
    assert kinds["undecided"] <= MAX_UNDECIDED_SHARE * len(TABLE), kinds
