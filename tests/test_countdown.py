"""What the kernels do to the GIL and to signals.

Tests that claim something about the GIL set the switch interval to 20 s. Then a thread keeps the GIL until its own code
releases it, so another thread can run only because the kernel released the GIL.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from gilscope import countdown_cooperative, countdown_held, countdown_python, countdown_released
from gilscope.countdown import LARGEST_COUNT

from tests.support import child

Kernel = Callable[[int], int]
A_QUARTER_OF_A_SECOND = 1_000_000_000
every_kernel = pytest.mark.parametrize("kernel", [countdown_held, countdown_released, countdown_python])


@pytest.fixture
def kept_gil() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(20)  # a wakeup that glibc loses (its bug 25847, before 2.41) costs so long, and not for ever
    yield
    sys.setswitchinterval(before)


@contextmanager
def thread_that_waits_for_the_gil(act: Callable[[], None]) -> Iterator[None]:
    """Start a thread that waits for the GIL, and calls ``act`` as soon as the body of the ``with`` releases it."""
    ready = threading.Event()
    may_act = threading.Lock()
    may_act.acquire()

    def wait() -> None:
        ready.set()
        with may_act:
            act()

    thread = threading.Thread(target=wait)
    thread.start()
    ready.wait()
    try:
        may_act.release()  # does not release the GIL
        yield
    finally:
        thread.join()


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def alarm_that_raises_keyboard_interrupt(seconds: float) -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` as Ctrl-C does, from a timer of the kernel, which needs no thread of this process."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("kept_gil")
def test_another_python_thread_can_interrupt_released_while_it_counts() -> None:
    with pytest.raises(KeyboardInterrupt), thread_that_waits_for_the_gil(interrupt):
        countdown_released(LARGEST_COUNT)


@pytest.mark.usefixtures("kept_gil")
@pytest.mark.parametrize("kernel", [countdown_held, countdown_python])
def test_no_other_thread_runs_while_a_kernel_holds_the_gil(kernel: Kernel) -> None:
    acts: list[str] = []
    with thread_that_waits_for_the_gil(lambda: acts.append("acted")):
        kernel(2_000_000)
        acts_meanwhile = list(acts)
    assert (acts_meanwhile, acts) == ([], ["acted"])


def test_another_python_thread_can_interrupt_python_after_a_switch_interval() -> None:
    with pytest.raises(KeyboardInterrupt), thread_that_waits_for_the_gil(interrupt):
        countdown_python(LARGEST_COUNT)


def test_released_on_another_thread_counts_on_while_this_thread_keeps_the_gil() -> None:
    # On the main thread it would wait for the GIL after 50 ms, and stop counting. The worker thread never ends, so that its
    # CPU clock can always be read.
    script = """
        import sys, threading, time
        from gilscope import countdown_released

        sys.setswitchinterval(1000)
        worker = threading.Thread(target=countdown_released, args=(2**64 - 1,), daemon=True)
        worker.start()
        clock = time.pthread_getcpuclockid(worker.ident)
        while time.clock_gettime(clock) < 0.01:  # until the worker counts with the GIL released
            time.sleep(0)
        start, give_up = time.clock_gettime(clock), time.monotonic() + 60
        while time.clock_gettime(clock) < start + 0.15 and time.monotonic() < give_up:
            pass  # neither call releases the GIL
        print(time.clock_gettime(clock) >= start + 0.15)
    """
    assert child.output(script) == ["True"]


@every_kernel
def test_an_alarm_interrupts_the_largest_count_on_the_main_thread(kernel: Kernel) -> None:
    start = time.monotonic()
    with alarm_that_raises_keyboard_interrupt(0.05), pytest.raises(KeyboardInterrupt):
        kernel(LARGEST_COUNT)  # would take a century
    assert time.monotonic() - start < 5  # benches/cancel.py measures the delay


def test_a_signal_handler_that_does_not_raise_does_not_change_the_count() -> None:
    calls: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _frame: calls.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    counted = countdown_released(A_QUARTER_OF_A_SECOND)
    signal.signal(signal.SIGALRM, before)
    assert (counted, calls) == (A_QUARTER_OF_A_SECOND, [signal.SIGALRM])


@every_kernel
def test_the_loop_is_not_optimized_away(kernel: Kernel) -> None:
    # An iteration takes at least one clock cycle, and no processor has a clock of 10 GHz.
    start = time.perf_counter()
    kernel(10_000_000)
    assert time.perf_counter() - start > 0.001


@pytest.mark.parametrize("every", [1.5, float("nan"), None, "10"])
def test_cooperative_refuses_an_every_that_is_not_an_integer(every: Any) -> None:
    with pytest.raises(TypeError, match="every must be an integer of at least 1, not"):
        asyncio.run(countdown_cooperative(10, every=every))


@pytest.mark.parametrize(("n", "every", "turns"), [(0, 1, 0), (5, 1, 5), (10, 3, 4), (2500, 1000, 3)])
def test_cooperative_gives_control_to_the_loop_after_every_so_many_steps(n: int, every: int, turns: int) -> None:
    async def turns_of_another_task() -> int:
        turn = 0
        counting = asyncio.ensure_future(countdown_cooperative(n, every=every))
        await asyncio.sleep(0)  # the countdown takes its first steps
        while not counting.done():
            turn += 1
            await asyncio.sleep(0)
        return turn

    assert asyncio.run(turns_of_another_task()) == turns
