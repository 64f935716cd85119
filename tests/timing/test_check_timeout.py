"""``gilscope check --timeout``: the child must begin its calls well before the limit, so nothing else may run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_check import check, needs_gil, verdicts

if TYPE_CHECKING:
    from gilscope.records.verdict import Verdict

UNTIL = """
import json, sys, time
def sleep_until(seconds_before_the_limit):
    deadline = json.load(open(sys.argv[1]))["argument"]["deadline"]
    time.sleep(deadline - seconds_before_the_limit - time.monotonic())
"""
"""Setup code, so that the calls begin at a known time however long a process takes to start."""


@needs_gil
@pytest.mark.thorough
def test_calls_that_have_ended_at_the_time_limit_are_judged_as_calls_that_end_and_a_call_after_them_that_does_not() -> (
    None
):
    """The processes sleep for most of the time, so they run at once.

    The answer at the limit needs the GIL some times, and each time waits for a call: calls must be short beside the time to answer.
    """

    def ends(code: str, seconds: float) -> Verdict:
        setup = f"{UNTIL}import ctypes; hold = ctypes.PyDLL(None).usleep; sleep_until({seconds})"
        limits = ("--time", str(seconds + 2.9), "--timeout", str(seconds + 3.0))
        return verdicts(check("--json", *limits, "-s", setup, code))[0]

    def goes_on() -> Verdict:
        setup = "import time; times = iter([0.001] * 9)"
        return verdicts(check("--json", "--timeout", "4", "-s", setup, "time.sleep(next(times, 1000))"))[0]

    with ThreadPoolExecutor() as pool:
        sleep, hold = pool.submit(ends, "time.sleep(0.2)", 0.5), pool.submit(ends, "hold(200_000)", 1.0)
        endless = pool.submit(goes_on).result()
    for verdict, kind in ((sleep.result(), "releases"), (hold.result(), "hogs")):
        assert not verdict.endless
        assert verdict.calls >= 1
        assert 0.1 < verdict.duration < 3.7
        assert (verdict.kind, verdict.reason) == (kind, "")
    assert (endless.kind, endless.endless) == ("releases", True)
    assert endless.duration > 1
