"""The GIL is read without attaching only if the self-check has passed."""

from __future__ import annotations

import sys
import threading
import time
from typing import get_args

from gilscope import _core
from gilscope.records.watch_report import UNREADABLE, Unreadable
from gilscope.watch.api import Watch

READABLE = getattr(sys, "_is_gil_enabled", lambda: True)()


def test_the_self_check_passes_on_every_supported_python() -> None:
    assert (_core.gil_unreadable() is None) == READABLE


def test_the_self_check_passes_in_any_thread() -> None:
    answers: list[str | None] = []
    thread = threading.Thread(target=lambda: answers.append(_core.gil_unreadable()))
    thread.start()
    thread.join()
    assert answers == [_core.gil_unreadable()]


def test_the_self_check_leaves_the_switch_interval_as_it_was() -> None:
    before = sys.getswitchinterval()
    _core.gil_unreadable()
    assert sys.getswitchinterval() == before


def test_every_code_of_a_reason_has_a_sentence() -> None:
    assert set(_core.GIL_UNREADABLE_CODES) == set(UNREADABLE) == set(get_args(Unreadable))


def test_a_watch_that_is_asked_not_to_read_the_gil_does_not() -> None:
    with Watch(read_gil=False) as watch:
        time.sleep(0.01)
    assert watch.snapshot().held is None
    assert watch.snapshot().gil_unreadable == "declined"
