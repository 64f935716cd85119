"""``gilscope.check`` on real callables."""

import ctypes
import gc
import hashlib
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import gilscope
import pytest
from gilscope.checks.assertions import meets

from tests.support.brief import longest_lag_of_a_loop, longest_wait_of_a_thread, pieces

HOLD = ctypes.PyDLL(None).usleep


def has_gil() -> bool:
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


needs_gil = pytest.mark.skipif(not has_gil(), reason="there is no GIL to keep")


INTERRUPTED = """
import signal, sys, threading, time
import gilscope
usual = sys.getswitchinterval()
gilscope.check({fn}, time=0.0)  # imports what it needs: CPython swallows an interrupt in importlib's own callbacks
for moment in (0.01, 0.03, 0.05, 0.08, 0.12):
    over = time.monotonic() + 30
    try:
        threading.Timer(moment, signal.raise_signal, [signal.SIGINT]).start()
        while time.monotonic() < over:  # CPython swallows what is raised in a finalizer or a callback of a weak reference
            gilscope.check({fn}, time=0.05)
        print("not interrupted")
    except KeyboardInterrupt:
        assert abs(sys.getswitchinterval() - usual) < 1e-9, sys.getswitchinterval()
        print("interrupted")
"""


@needs_gil
@pytest.mark.parametrize("fn", ["time.sleep, 0.01", "lambda: sum(range(1000))", "lambda: None"])
def test_ctrl_c_at_any_moment_restores_the_switch_interval(fn: str) -> None:
    program = [sys.executable, "-c", INTERRUPTED.format(fn=fn)]
    child = subprocess.run(program, capture_output=True, text=True, timeout=200, check=False)
    assert (child.stdout, child.stderr) == (5 * "interrupted\n", "")


@needs_gil
def test_two_checks_at_once_restore_the_switch_interval() -> None:
    usual = sys.getswitchinterval()
    both = [threading.Thread(target=gilscope.check, args=(time.sleep, 0.001), kwargs={"time": 0.2}) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sys.getswitchinterval() == pytest.approx(usual)


@needs_gil
def test_the_same_c_function_hogs_or_releases_by_how_it_is_called() -> None:
    hog = gilscope.check(HOLD, 20_000, time=0.1)
    assert (hog.kind, meets(hog, "hogs")) == ("hogs", True)
    assert gilscope.check(ctypes.CDLL(None).usleep, 20_000, time=0.1).kind == "releases"


@needs_gil
def test_a_single_long_call_is_enough() -> None:
    found = gilscope.check(HOLD, 200_000, time=0.0)
    assert (found.kind, found.calls) == ("hogs", 1)
    assert found.longest_hold == pytest.approx(0.2, rel=0.1)


@needs_gil
def test_computing_without_the_gil_is_distinguished_from_sleeping() -> None:
    data = bytes(4_000_000)
    computing, sleeping = (
        gilscope.check(call, time=0.25) for call in (lambda: hashlib.sha256(data), lambda: time.sleep(0.01))
    )
    assert (computing.kind, sleeping.kind) == ("releases", "releases")
    assert computing.cpu > 0.5 > sleeping.cpu
    assert "and the call mostly computed" in str(computing)
    assert "and the call mostly waited" in str(sleeping)


@needs_gil
def test_the_shares_add_up_to_one_and_follow_the_time() -> None:
    release = ctypes.CDLL(None).usleep
    found = gilscope.check(lambda: (HOLD(30_000), release(10_000)))
    assert found.released is not None
    assert found.yielded is not None
    assert found.hogged is not None
    assert found.released + found.yielded + found.hogged == pytest.approx(1)
    assert found.hogged == pytest.approx(0.75, abs=0.12)
    assert "the GIL was free" in str(found)


@needs_gil
def test_a_garbage_collection_is_named() -> None:
    kept = [[n] for n in range(200_000)]
    found = gilscope.check(gc.collect, time=0.2)
    assert found.collecting
    assert "garbage collection" in str(found)
    del kept


@needs_gil
def test_recording_collections_does_not_make_an_allocating_hog_yield() -> None:
    others = gc.callbacks[:]
    gc.callbacks.clear()  # hypothesis has one in Python, which does make it yield
    try:
        found = gilscope.check(list, zip(*[iter(range(2_000_000))] * 2, strict=True), time=0.0)
    finally:
        gc.callbacks[:] = others
    assert found.hogged is not None
    assert found.hogged > 0.5


@needs_gil
def test_another_thread_that_holds_the_gil_is_reported_and_not_blamed_on_the_callable() -> None:
    done = threading.Event()

    def spin() -> None:
        while not done.is_set():
            pass

    other = threading.Thread(target=spin)
    other.start()
    try:
        found = gilscope.check(time.sleep, 0.001, time=0.1)
    finally:
        done.set()
        other.join()
    assert found.background is not None
    assert (
        found.background.held > 0.25
    )  # what is too much for a verdict; on a busy machine the other thread waits as well
    assert found.kind in ("undecided", "releases")
    assert "Before the call, something else in this process held the GIL" in str(found)


@needs_gil
def test_the_assertions_fail_with_the_evidence_and_the_remedy() -> None:
    with pytest.raises(AssertionError) as failed:
        gilscope.assert_releases(HOLD, 20_000, time=0.25)
    text = str(failed.value)
    assert text.startswith("usleep was expected to release the GIL, but it hogs.\nhogs: while usleep ran")
    assert "Py_BEGIN_ALLOW_THREADS" in text
    assert "longest hold" in text
    assert gilscope.assert_releases(time.sleep, 0.01, time=0.25).kind == "releases"
    with pytest.raises(AssertionError, match="expected to yield the GIL, but it releases"):
        gilscope.assert_yields(time.sleep, 0.01, time=0.25)


@needs_gil
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="on a single core a thread that is woken acquires the GIL")
@pytest.mark.thorough
def test_a_call_that_releases_the_gil_only_briefly_hogs_for_as_long_as_a_thread_waits() -> None:
    call = partial(pieces, 0.0005, ctypes.CDLL(None).getppid, seconds=0.1)
    checks = [gilscope.check(call, time=0.2) for _ in range(3)]  # now and then a release is just long enough
    for found in checks:
        assert (found.kind, found.reason) == ("hogs", "brief releases"), f"{found}\n{found.evidence}"
    longest, calls = max(found.longest_wait or 0.0 for found in checks), sum(found.real_calls for found in checks)
    assert all((found.longest_hold or longest) < longest / 2 for found in checks)
    thread, loop = longest_wait_of_a_thread(call, calls), longest_lag_of_a_loop(call, calls)
    assert min(thread.least, loop.least) / 1.5 < longest < max(thread.own, loop.own) * 1.5
    assert gilscope.check(call, time=0).real_calls == 1  # real waits are measured for a single call too

    def handing_over() -> None:
        for _ in range(60):
            HOLD(500)
            time.sleep(0)

    handed_over = gilscope.check(handing_over, time=0.2)
    assert handed_over.kind == "yields", f"{handed_over}\n{handed_over.evidence}"


@needs_gil
def test_a_first_call_that_compiles_is_set_apart() -> None:
    compiled: list[int] = []

    def compiling() -> None:
        if not compiled:
            end = time.monotonic() + 0.4
            while time.monotonic() < end:
                pass
            compiled.append(1)
        HOLD(5_000)

    found = gilscope.check(compiling, time=0.2)
    assert found.kind == "hogs"
    assert found.first_call is not None
    assert found.first_call > 5 * found.duration
    assert found.duration == pytest.approx(0.005, rel=0.5)


@needs_gil
def test_work_on_threads_of_the_call_counts_as_computing() -> None:
    data = bytes(8_000_000)
    with ThreadPoolExecutor(2) as pool:
        found = gilscope.check(lambda: list(pool.map(hashlib.sha256, [data, data])), time=1.0)
    assert found.cpu > 0.5  # the calling thread itself computes for none of the time


@needs_gil
def test_a_long_hold_in_every_call_that_releases_the_gil_is_counted_and_may_be_forbidden() -> None:
    def released_and_held() -> None:
        time.sleep(0.06)
        HOLD(25_000)

    found = gilscope.assert_releases(released_and_held, time=0.3)
    assert found.holds_per_call == pytest.approx(1, abs=0.5)
    assert "in every call it held the GIL without a break" in str(found)
    with pytest.raises(AssertionError, match=r"stalls an event loop in its process for .*; the limit is 5\.00 ms"):
        gilscope.assert_releases(released_and_held, max_hold="5ms", time=0.3)
