"""The switch interval is the program's own again, to the microsecond, and no two threads that lower it wait for each other."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from gilscope._core import LoweredSwitchInterval, gil_unreadable

FRESH_PROCESSES = 8
AT_ONCE = """
import sys, threading
from gilscope._core import LoweredSwitchInterval
barrier = threading.Barrier(8)
def lower():
    barrier.wait()
    with LoweredSwitchInterval(interval=0.0001):
        pass
threads = [threading.Thread(target=lower) for _ in range(8)]
[one.start() for one in threads]
[one.join() for one in threads]
assert sys.getswitchinterval() == 0.005
"""


def microseconds() -> int:
    return round(sys.getswitchinterval() * 1e6)


@pytest.fixture(params=[100, 99, 4321])
def usual(request: pytest.FixtureRequest) -> Iterator[int]:
    before = sys.getswitchinterval()
    sys.setswitchinterval((request.param + 0.5) / 1e6)
    yield microseconds()
    sys.setswitchinterval(before)


def test_it_is_restored_to_the_microsecond(usual: int) -> None:
    for _ in range(3):
        with LoweredSwitchInterval(interval=50e-6):
            assert microseconds() == 50
        assert microseconds() == usual


def test_contexts_that_overlap_restore_it_whatever_the_order(usual: int) -> None:
    one, other = LoweredSwitchInterval(interval=50e-6), LoweredSwitchInterval(interval=20e-6)
    one.__enter__()
    other.__enter__()
    assert microseconds() == 20
    one.__exit__(None, None, None)
    assert microseconds() == 20
    other.__exit__(None, None, None)
    assert microseconds() == usual


def test_looking_for_the_gil_restores_it(usual: int) -> None:
    gil_unreadable()
    assert microseconds() == usual


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), 1e7])
def test_an_interval_that_cannot_be_set_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="from a microsecond to an hour"):
        LoweredSwitchInterval(interval=seconds)


def test_eight_threads_that_lower_it_at_once_in_a_fresh_process_never_deadlock() -> None:
    """A lock was held while a name was made, which releases the GIL: 47 of 100 processes hung."""
    for _ in range(FRESH_PROCESSES):
        done = subprocess.run([sys.executable, "-c", AT_ONCE], timeout=60, check=False, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
