"""``gilscope check --timeout``: the child must begin its calls well before the limit, so nothing else may run."""

from __future__ import annotations

import pytest
from gilscope.records.verdict import Verdict

from tests.cli.test_check import check, needs_gil


@needs_gil
@pytest.mark.parametrize(("code", "seconds"), [("time.sleep(0.2)", 1.2), ("hold(1_100_000)", 2.7)])
def test_calls_that_have_ended_at_the_time_limit_are_judged_as_calls_that_end(code: str, seconds: float) -> None:
    setup = "import time, ctypes; hold = ctypes.PyDLL(None).usleep"
    limits = ("--time", str(seconds), "--timeout", str(seconds + 0.1))
    verdict = Verdict.from_json(check("--json", *limits, "-s", setup, code).stdout)
    assert not verdict.endless
    assert verdict.calls >= 1
    assert 0.1 < verdict.duration < 2.2
    assert verdict.kind == ("releases" if "sleep(0" in code else "hogs")


@needs_gil
def test_an_endless_call_after_short_ones_is_judged() -> None:
    setup = "import time; times = iter([0.001] * 9)"
    verdict = Verdict.from_json(
        check("--json", "--timeout", "2.5", "-s", setup, "time.sleep(next(times, 1000))").stdout
    )
    assert (verdict.kind, verdict.endless) == ("releases", True)
    assert verdict.duration > 1
