import time

from gilscope._core import monotonic


def test_the_clock_of_the_native_half_is_the_one_of_time_monotonic() -> None:
    before = time.monotonic()
    assert before <= monotonic() <= time.monotonic()
