"""A watch takes no turns at the GIL from the program."""

from __future__ import annotations

import threading
import time
from ctypes import PyDLL

from gilscope.watch.api import Watch

TURNS = 6
HOLD = 0.1


def test_turns_at_the_gil_take_no_longer_than_unwatched() -> None:
    started, stop = threading.Event(), threading.Event()

    def hog() -> None:
        started.set()
        while not stop.is_set():
            PyDLL(None).usleep(int(HOLD * 1e6))

    def seconds_for_turns() -> float:
        began = time.monotonic()
        for _ in range(TURNS):
            time.sleep(0)  # releases the GIL, and has to win it back
        return time.monotonic() - began

    thread = threading.Thread(target=hog)
    thread.start()
    started.wait()
    try:
        unwatched = seconds_for_turns()
        with Watch(probe=0.01):  # a probe waits at each hand-over
            watched = min(seconds_for_turns() for _ in range(2))
    finally:
        stop.set()
        thread.join()
    assert watched < unwatched + 3 * HOLD
