"""A watch does not change what the program does, and its sums are reliable."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvloop
from gilscope.watch.api import Watch

if TYPE_CHECKING:
    from gilscope.records.stall import Cause, Stall

from tests.support.stalling import LONG, hold, in_coroutine, in_pool, nap, run_asyncio


def test_stalls_are_reported_while_the_program_runs() -> None:
    reported: list[tuple[float, Stall]] = []
    with Watch(on_stall=lambda stall: reported.append((time.monotonic(), stall))) as watch:
        run_asyncio(in_pool(hold))
        give_up = time.monotonic() + 30
        while not (by_then := reported[:]) and time.monotonic() < give_up:
            time.sleep(0.001)
    late = [at - watch.began - stall.end for at, stall in reported if stall.cause == "starved by a hog"]
    assert by_then
    assert late
    assert max(late) < 1.0


def test_a_failing_callback_is_logged_and_dropped(caplog: pytest.LogCaptureFixture) -> None:
    async def unheard() -> None: ...

    def fail(stall: Stall) -> object:
        if not failed:
            failed.append(stall)
            return unheard()
        raise RuntimeError(stall.cause)

    failed: list[Stall] = []
    with caplog.at_level(logging.ERROR, "gilscope"), Watch(on_stall=fail) as watch:
        run_asyncio(in_coroutine(nap))
        run_asyncio(in_coroutine(nap))
    assert watch.snapshot().stalls["blocked, waiting"] >= 2
    assert "on_stall failed for blocked, waiting" in caplog.text
    assert "on_stall returned a coroutine: it is called in a thread of the watch" in caplog.text
    assert "RuntimeError: blocked, waiting" in caplog.text


def test_a_callback_may_stop_the_watch() -> None:
    done = threading.Event()

    def stop(_: Stall) -> None:
        watch.stop()
        done.set()

    watch = Watch(on_stall=stop)
    watch.start()
    run_asyncio(in_coroutine(nap))
    assert done.wait(30)


def test_sums_only_grow_and_never_exceed_the_time() -> None:
    with Watch() as watch:
        before = watch.snapshot()
        for _ in range(5):
            hold_for = time.monotonic() + 0.05
            while time.monotonic() < hold_for:
                pass
            after = watch.snapshot()
            assert before.held is not None
            assert after.held is not None
            assert 0 <= after.held - before.held <= after.elapsed - before.elapsed + 1e-6
            assert after.samples >= before.samples
            assert after.waits.count >= before.waits.count
            before = after


def test_a_single_hold_is_in_the_snapshot_right_after_it() -> None:
    with Watch() as watch:
        time.sleep(0.05)
        before = watch.snapshot().held
        hold()
        after = watch.snapshot().held
    assert before is not None
    assert after is not None
    assert after - before > 0.9 * LONG


def test_idle_time_after_busy_time_adds_nothing() -> None:
    with Watch() as watch:
        hold()
        time.sleep(0.1)
        before = watch.snapshot()
        time.sleep(0.4)
        after = watch.snapshot()
    assert before.held is not None
    assert after.held is not None
    assert after.held - before.held < 0.05


def test_a_watch_may_be_stopped_several_times() -> None:
    watch = Watch()
    watch.stop()
    watch.start()
    with pytest.raises(RuntimeError, match="running already"):
        watch.start()
    while_it_runs = watch.snapshot()
    time.sleep(0.05)
    assert watch.snapshot() != while_it_runs
    watch.stop()
    when_it_stopped = watch.snapshot()
    time.sleep(0.05)
    watch.stop()
    assert watch.snapshot() == when_it_stopped


def test_a_watch_that_samples_rarely_stops_at_once() -> None:
    watch = Watch(sample="60s", probe="60s")
    watch.start()
    began = time.monotonic()
    watch.stop()
    assert time.monotonic() - began < 30


def test_the_hooks_are_removed_with_the_last_watch() -> None:
    def hooks() -> tuple[object, ...]:
        set_running_loop = asyncio.events._set_running_loop, asyncio._set_running_loop
        return *set_running_loop, uvloop.Loop.run_forever, list(sys.meta_path), list(gc.callbacks)

    before = hooks()
    with Watch(), Watch():
        assert all(now is not then for now, then in zip(hooks()[:3], before[:3], strict=True))
    assert hooks() == before


@pytest.mark.thorough
def test_starting_and_stopping_leaves_nothing() -> None:
    def left() -> tuple[int, int]:
        return len(list(Path("/proc/self/task").iterdir())), len(list(Path("/proc/self/fd").iterdir()))

    others = set(Path("/proc/self/task").iterdir())
    with Watch():
        run_asyncio(in_coroutine(lambda: None))
    _settle(others)
    before, threads = left(), threading.active_count()
    for _ in range(200):
        with Watch():
            pass
    _settle(others)
    assert left() == before
    assert threading.active_count() == threads


def _settle(others: set[Path]) -> None:
    """Wait until all threads but ``others`` have ended: the one that reports stalls ends some time after ``stop``."""
    end = time.monotonic() + 30
    while not set(Path("/proc/self/task").iterdir()) <= others and time.monotonic() < end:
        time.sleep(0.001)
    time.sleep(0.05)


def _sleep_until_sampled(watch: Watch) -> None:
    """Sleep until the sampler has run often enough meanwhile to see that this thread sleeps, on however busy a machine."""
    samples = 0
    while samples < 200:
        before = watch.snapshot().samples
        time.sleep(0.02)
        # Reading the samples adds one itself if the last is old.
        samples += max(0, watch.snapshot().samples - before - 1)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_works_and_is_not_watched() -> None:
    with Watch() as watch:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                run_asyncio(in_coroutine(lambda: None))
                watch.stop()
                reported: queue.SimpleQueue[tuple[Cause, str | None]] = queue.SimpleQueue()

                def report(stall: Stall) -> None:
                    threading.current_thread()  # as logging does: the watch's thread is now one of threading's
                    reported.put((stall.cause, stall.thread.name))

                with Watch(on_stall=report) as anew:
                    run_asyncio(in_coroutine(lambda: _sleep_until_sampled(anew)))
                    # On a busy machine there may be others before it.
                    while reported.get(timeout=30) != ("blocked, waiting", "MainThread"):
                        pass
                    run_asyncio(in_coroutine(hold))
                    status = len({it.thread for it in anew.snapshot().held_by} - {"MainThread", "gilscope"})
            finally:
                os._exit(status)
        _, ended = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(ended) == 0
    assert watch.snapshot().children == 1


def test_children_that_run_another_program_are_counted() -> None:
    def run_four() -> None:
        subprocess.run(["true"], check=True)
        subprocess.run(["true"], check=True, preexec_fn=lambda: None)
        os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)
        os.system("true")  # noqa: S605 - that is what is tested

    before = subprocess._fork_exec, os.posix_spawn  # type: ignore[attr-defined]
    with Watch() as outer, Watch() as inner:
        run_four()
        imported_meanwhile = subprocess._fork_exec  # type: ignore[attr-defined]
    assert (subprocess._fork_exec, os.posix_spawn) == before  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "_fork_exec", imported_meanwhile)  # as if subprocess had been imported meanwhile
        with Watch() as again:
            run_four()
    assert [watch.snapshot().children for watch in (outer, inner, again)] == [4, 4, 4]


def test_the_sum_of_the_kept_holds_is_the_time_for_which_the_gil_was_held() -> None:
    def turns() -> None:
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            sum(range(200))

    with Watch(trace=True) as watch:
        spinning = [threading.Thread(target=turns) for _ in range(4)]
        for thread in spinning:
            thread.start()
        for thread in spinning:
            thread.join()
    snapshot = watch.snapshot()
    if snapshot.held is None:
        pytest.skip(f"the GIL cannot be read: {snapshot.gil_unreadable}")
    assert snapshot.held > 0.1
    assert sum(end - start for *_, start, end in watch.holds()) == pytest.approx(snapshot.held, abs=1e-4)
