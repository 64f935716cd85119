"""``gilscope check --timeout``: the child must begin its calls well before the limit, so nothing else may run."""

from __future__ import annotations

import pytest

from tests.cli.test_check import check, needs_gil, verdicts

UNTIL = """
import json, sys, time
def sleep_until(seconds_before_the_limit):
    deadline = json.load(open(sys.argv[1]))["argument"]["deadline"]
    time.sleep(deadline - seconds_before_the_limit - time.monotonic())
"""
"""Setup code, so that the calls begin at a known time however long a process takes to start."""


@needs_gil
@pytest.mark.parametrize(
    ("code", "seconds", "kind"), [("time.sleep(0.2)", 0.5, "releases"), ("hold(600_000)", 0.9, "hogs")]
)
def test_calls_that_have_ended_at_the_time_limit_are_judged_as_calls_that_end(
    code: str, seconds: float, kind: str
) -> None:
    setup = f"{UNTIL}import ctypes; hold = ctypes.PyDLL(None).usleep; sleep_until({seconds})"
    limits = ("--time", str(seconds + 1.1), "--timeout", str(seconds + 1.2))
    (verdict,) = verdicts(check("--json", *limits, "-s", setup, code))
    assert not verdict.endless
    assert verdict.calls >= 1
    assert 0.1 < verdict.duration < 2.2
    assert (verdict.kind, verdict.reason) == (kind, "")


@needs_gil
def test_an_endless_call_after_short_ones_is_judged() -> None:
    setup = "import time; times = iter([0.001] * 9)"
    (verdict,) = verdicts(check("--json", "--timeout", "2", "-s", setup, "time.sleep(next(times, 1000))"))
    assert (verdict.kind, verdict.endless) == ("releases", True)
    assert verdict.duration > 0.5
