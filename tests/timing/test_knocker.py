import contextlib
import ctypes
import operator
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import starmap
from pathlib import Path

import pytest
from gilscope._core import GcListener, Knocker, KnockTally, LoweredSwitchInterval, monotonic, run_queue_delay

HOLD = ctypes.PyDLL(None).usleep
"""Holds the GIL for this many microseconds."""

HOLDS = 10
MAX_HOLDS_MISREAD = 2
"""Another program may take the CPU when a knock is due: that knock starts late, and its wait is too short."""


def knocker(*, mean_gap: float = 0.0005, keep: int = 100_000) -> Knocker:
    return Knocker(mean_gap=mean_gap, watched=threading.get_native_id(), keep=keep)


@pytest.fixture
def knocking() -> Iterator[Knocker]:
    with knocker() as running:
        yield running


def threads() -> list[str]:
    names = []
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            names.append((thread / "comm").read_text().strip())
    return names


def held_share(before: KnockTally, after: KnockTally) -> float:
    elapsed, waited = after.elapsed - before.elapsed, after.waited - before.waited
    knocks = after.knocks - before.knocks
    return (waited + (elapsed - waited) * (after.held - before.held) / max(1, knocks)) / elapsed


def test_one_hold_read_straight_after_it_has_its_length_within_a_tenth() -> None:
    ratios = []
    for _ in range(HOLDS):
        with knocker() as running:
            begin = monotonic()
            HOLD(50_000)
            took = monotonic() - begin
            ratios.append(running.tally().longest / took)
    assert sum(not 0.9 <= ratio <= 1.1 for ratio in ratios) <= MAX_HOLDS_MISREAD, ratios


def test_a_watched_thread_that_has_ended_counts_no_time() -> None:
    started, end = threading.Event(), threading.Event()

    def work() -> None:
        HOLD(20_000)
        started.set()
        end.wait()

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    assert thread.native_id is not None
    with Knocker(mean_gap=0.0005, watched=thread.native_id, keep=100_000) as running:
        end.set()
        thread.join()
        ended = running.tally().knocks
        while running.tally().knocks < ended + 10:
            time.sleep(0.001)
        last = running.knocks()[-1]
    assert (last.ran_before, last.ran, last.queued_before, last.queued) == (0, 0, 0, 0)
    assert max(knock.ran_before for knock in running.knocks()) < 10


def test_a_wait_in_progress_counts(knocking: Knocker) -> None:
    # One call of C for both, so that the GIL is not released in between: the knock that came during the hold still waits.
    _, tally = starmap(operator.call, [(HOLD, 100_000), (knocking.tally,)])
    assert tally.waiting > 0.05
    assert tally.waited >= tally.waiting
    assert tally.held >= 1


def test_an_idle_second_after_a_busy_one_reads_idle(knocking: Knocker) -> None:
    HOLD(300_000)
    time.sleep(0.05)
    before = knocking.tally()
    time.sleep(0.3)
    assert held_share(before, knocking.tally()) < 0.05


def test_a_thread_that_holds_the_gil_all_the_time_reads_one(knocking: Knocker) -> None:
    before = knocking.tally()
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        HOLD(20_000)
    assert held_share(before, knocking.tally()) > 0.95


def test_a_knock_says_whether_the_thread_was_blocked_and_whether_the_gil_was_free(knocking: Knocker) -> None:
    time.sleep(0.3)
    asleep = [knock for knock in knocking.knocks() if knock.state == "blocked"]
    assert len(asleep) > 20
    assert sum(knock.held for knock in asleep) <= len(asleep) / 5


def test_it_counts_in_a_histogram(knocking: Knocker) -> None:
    HOLD(50_000)
    time.sleep(0.05)
    longest = knocking.wait_quantile(1.0)
    assert longest == pytest.approx(knocking.tally().longest, rel=0.002)
    with pytest.raises(ValueError, match="q must be from 0 to 1"):
        knocking.wait_quantile(1.5)


def test_no_more_knocks_are_kept_than_requested() -> None:
    with knocker(keep=5) as running:
        time.sleep(0.2)
        tally = running.tally()
    assert len(running.knocks()) == 5
    assert tally.knocks > 5


def test_stop_returns_when_the_thread_is_gone_and_at_once() -> None:
    running = knocker(mean_gap=3600.0)
    running.start()
    assert "gilscope-knock" in threads()
    begin = time.monotonic()
    running.stop()
    assert "gilscope-knock" not in threads()
    assert time.monotonic() - begin < 5  # not the hour until the next knock
    running.stop()


def test_it_starts_once() -> None:
    with knocker() as running, pytest.raises(RuntimeError, match="starts only once"):
        running.start()


@pytest.mark.parametrize("mean_gap", [0.0, 1e-9, -1.0])
def test_a_mean_gap_under_a_microsecond_is_rejected(mean_gap: float) -> None:
    with pytest.raises(ValueError, match="at least a microsecond"):
        knocker(mean_gap=mean_gap)


def test_a_knocker_without_references_ends() -> None:
    running = knocker()
    running.start()
    del running
    deadline = time.monotonic() + 30
    while "gilscope-knock" in threads():
        assert time.monotonic() < deadline
        time.sleep(0.01)


ALIVE_AT_EXIT = """
import threading, time
from gilscope._core import Knocker
running = Knocker(mean_gap=0.0001, watched=threading.get_native_id(), keep=10)
running.start()
{more}
print(time.monotonic(), flush=True)
"""
SPINNING_DAEMON = """
def spin():
    while True: pass
threading.Thread(target=spin, daemon=True).start()
"""


@pytest.mark.parametrize("more", ["", SPINNING_DAEMON], ids=["alone", "beside a daemon that spins"])
def test_a_knocker_that_runs_at_exit_neither_crashes_nor_delays_it(more: str) -> None:
    for _ in range(5):
        child = subprocess.run(
            [sys.executable, "-c", ALIVE_AT_EXIT.format(more=more)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        left = time.monotonic() - float(child.stdout)
        assert (child.returncode, child.stderr) == (0, "")
        assert left < 10


FORKING = """
import os, threading, time, warnings
from gilscope._core import Knocker
warnings.simplefilter("ignore")
running = Knocker(mean_gap=0.0001, watched=threading.get_native_id(), keep=10)
running.start()
time.sleep(0.02)
pid = os.fork()
if pid == 0:
    try:
        running.tally()
    except RuntimeError as error:
        assert "forked" in str(error), error
    else:
        os._exit(1)
    running.stop()
    with Knocker(mean_gap=0.0001, watched=None, keep=0) as other:
        time.sleep(0.05)
        assert other.tally().knocks
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
running.stop()
"""


def test_a_forked_child_can_stop_it_and_make_another() -> None:
    child = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=60, check=False)
    assert (child.returncode, child.stderr) == (0, "")


def test_a_thread_that_never_attaches_writes_how_long_a_wait_has_lasted(tmp_path: Path) -> None:
    file = os.open(tmp_path / "wait", os.O_RDWR | os.O_CREAT)
    with knocker() as running:
        running.write_wait(file, 0.005)
        text = ctypes.create_string_buffer(42)
        read = ctypes.PyDLL(None).pread
        # one call in C that keeps the GIL: what is read was written while the knock still waited
        list(starmap(operator.call, [(HOLD, 200_000), (read, file, text, 42, ctypes.c_long(0))]))
    os.close(file)
    waited, ran = map(float, text.value.split())
    assert waited > 0.1
    assert ran > 0


def test_the_switch_interval_is_restored_when_the_last_context_is_left() -> None:
    usual = sys.getswitchinterval()
    one, other = LoweredSwitchInterval(interval=0.001), LoweredSwitchInterval(interval=0.0002)
    assert one.__enter__() == pytest.approx(usual)
    assert other.__enter__() == pytest.approx(usual)
    assert sys.getswitchinterval() == pytest.approx(0.0002)
    one.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(0.0002)
    other.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(usual)


def test_the_switch_interval_is_not_raised() -> None:
    usual = sys.getswitchinterval()
    with LoweredSwitchInterval(interval=10.0):
        assert sys.getswitchinterval() == pytest.approx(usual)
    assert sys.getswitchinterval() == pytest.approx(usual)


def test_a_gc_listener_keeps_the_pauses_that_are_long_enough() -> None:
    all_pauses, long_ones = GcListener(keep_from=0.0), GcListener(keep_from=100.0)
    for callback in (all_pauses, long_ones):
        callback("stop", {})  # of a collection that began before the listener was added
        callback("start", {})
        callback("stop", {})
    assert len(all_pauses.pauses()) == 1
    assert long_ones.pauses() == []


def test_the_run_queue_delay_of_an_existing_thread_is_known() -> None:
    assert run_queue_delay(threading.get_native_id()) is not None
    assert run_queue_delay(2**30) is None


def test_a_long_wait_shows_the_call_that_held_the_gil_even_if_its_thread_ended_at_once() -> None:
    def hoard() -> None:
        HOLD(300_000)

    with Knocker(mean_gap=0.001, watched=None, keep=10_000, stacks_over=0.1) as running:
        for _ in range(3):  # a knock that starts late, because another program has the CPU, sees no long wait
            thread = threading.Thread(target=hoard, name="hoarder")
            thread.start()
            thread.join()
    seen = {(wait.thread, wait.stack[0]) for wait in running.long_waits() if wait.stack}
    line = hoard.__code__.co_firstlineno + 1
    assert ("hoarder", (__file__, line, hoard.__qualname__)) in seen
    assert {name for name, _ in seen} == {"hoarder"}
