"""The holder of the GIL, read without attaching, is the right one."""

from __future__ import annotations

import sys
import threading
import time
from ctypes import CDLL, PyDLL

import pytest
from gilscope.watch.api import Watch

READABLE = getattr(sys, "_is_gil_enabled", lambda: True)()


def asleep_with_gil(seconds: float) -> None:
    PyDLL(None).usleep(int(seconds * 1e6))


def asleep_without_gil(seconds: float) -> None:
    CDLL(None).usleep(int(seconds * 1e6))


@pytest.mark.skipif(not READABLE, reason="no GIL that could be read")
def test_the_same_c_function_holds_the_gil_or_does_not() -> None:
    def held_while(sleep: object) -> float:
        assert callable(sleep)
        with Watch() as watch:
            # On a busy machine the first sample may be late, and what happened before it does not count.
            while watch.snapshot().samples < 10:
                time.sleep(0.001)
            sleep(0.3)
        held = watch.snapshot().held
        assert held is not None
        return held

    assert held_while(asleep_with_gil) > 0.2
    assert held_while(asleep_without_gil) < 0.1


@pytest.mark.skipif(not READABLE, reason="no GIL that could be read")
def test_a_hold_is_its_threads() -> None:
    held, seen = threading.Event(), threading.Event()

    def hog() -> None:
        asleep_with_gil(0.2)
        held.set()
        seen.wait()  # the name of a thread that has ended cannot be read any more

    with Watch() as watch:
        thread = threading.Thread(target=hog, name="the hog")
        thread.start()
        held.wait()
        first = watch.snapshot().held_by[0]
        seen.set()
        thread.join()
    assert (first.thread, first.native_id) == ("the hog", thread.native_id)
    assert first.held > 0.15


@pytest.mark.skipif(not READABLE, reason="no GIL that could be read")
def test_threads_that_come_and_go_never_make_a_wrong_holder() -> None:
    """A thread state's memory is freed and used again while it is read: 2 000 short threads, and no others held the GIL."""
    seen: set[int] = set()

    def work() -> None:
        seen.add(threading.get_native_id())
        sum(range(1000))

    with Watch(sample=0.0002) as watch:
        for _ in range(2000):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
    ours = seen | {threading.get_native_id(), 0}
    unknown = [it for it in watch.snapshot().held_by if it.native_id not in ours and it.thread != "gilscope"]
    assert sum(it.held for it in unknown) < 0.01 * watch.snapshot().elapsed
