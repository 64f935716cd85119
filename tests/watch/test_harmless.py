"""What gilscope must not do to the threads, the garbage and the signal handlers of a program."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading

import pytest
from gilscope._core import CallFirst, current_frames

from tests.support import child

PROGRAM = """
import os, sys, threading, time
import uvloop
import gilscope

class Slow:  # the interpreter shuts down for long enough that both threads want the GIL meanwhile
    def __del__(self, sleep=time.sleep):
        sleep(0.3)

watch = gilscope.Watch()
watch.start()
loop = uvloop.new_event_loop()
def tick():
    loop.call_later(0.001, tick)
tick()
threading.Thread(target=loop.run_forever, daemon=True).start()
threading.Thread(target=lambda: os.system("sleep 0.2"), daemon=True).start()
time.sleep(0.1)
sys.modules["keeps it until the end"] = Slow()
"""


def test_a_daemon_thread_that_is_in_a_function_of_ours_at_exit_ends_as_without_a_watch() -> None:
    assert child.output(PROGRAM) == []


def test_a_forked_child_that_drops_the_watch_of_its_parent_keeps_its_own_threads() -> None:
    said = child.output(
        """
        import gc, os, warnings
        import gilscope
        warnings.simplefilter("ignore", DeprecationWarning)  # the parent has threads
        watch = gilscope.Watch()
        watch.start()
        if (pid := os.fork()) == 0:
            own = gilscope.Watch()
            own.start()
            del watch
            gc.collect()
            own.stop()
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        watch.stop()
        """
    )
    assert said == ["7"]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="CPython collects only between two bytecodes since 3.12")
def test_taking_stacks_collects_no_garbage() -> None:
    class Garbage:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            destroyed.append(threading.get_ident())

    destroyed: list[int] = []
    threshold = gc.get_threshold()
    current_frames()
    gc.disable()
    try:
        for _ in range(1000):
            Garbage()
        gc.set_threshold(1)
        gc.enable()
        current_frames()
        gc.disable()
        assert destroyed == []
    finally:
        gc.set_threshold(*threshold)
        gc.enable()


def test_what_a_signal_handler_raises_while_our_code_runs_reaches_the_program() -> None:
    class OutOfTimeError(Exception):
        pass

    def handler(*_: object) -> None:
        raise OutOfTimeError

    def first(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        for _step in range(1000):
            pass

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        counted = CallFirst(len, first)
        with pytest.raises(OutOfTimeError):
            counted([])
    finally:
        signal.signal(signal.SIGUSR1, before)
