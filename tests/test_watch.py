"""A watch tells why a loop stalled and which line did it, and leaves the program as it would be without."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from ctypes import CDLL, PyDLL
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import gilscope
import pytest
from gilscope import _core
from gilscope.watch import Watch

if TYPE_CHECKING:
    from gilscope.stalls import Cause, Stall

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="what is seen here, Linux tells")

LONG = 0.3
"""Six times the threshold: what happens beside it on a busy machine is shorter."""

Main = Callable[[], Coroutine[Any, Any, None]]
Run = Callable[[Main], None]


def hold() -> None:
    PyDLL(None).usleep(int(LONG * 1e6))


def nap() -> None:
    time.sleep(LONG)


def run_asyncio(main: Main) -> None:
    asyncio.run(main())


def run_uvloop(main: Main) -> None:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@pytest.fixture(params=[run_asyncio, run_uvloop])
def run(request: pytest.FixtureRequest) -> Run:
    chosen: Run = request.param
    return chosen


def in_coroutine(function: Callable[[], object]) -> Main:
    async def main() -> None:
        await asyncio.sleep(0.05)
        function()
        await asyncio.sleep(0.05)

    return main


def in_pool(function: Callable[[], object]) -> Main:
    async def main() -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="pool") as pool:
            await asyncio.sleep(0.05)
            await asyncio.get_running_loop().run_in_executor(pool, function)
            await asyncio.sleep(0.05)

    return main


def stalls(run: Run, main: Main, **options: Any) -> list[Stall]:
    """Stall a loop three times, and return what is told of it."""

    async def thrice() -> None:
        for _ in range(3):
            await main()

    with Watch(**options) as watch:
        run(thrice)
    return [stall for stall in watch.snapshot().worst if stall.duration > LONG / 2]


def seen(stall: Stall) -> tuple[Cause, str | None]:
    return stall.cause, stall.culprit.function if stall.culprit else None


def the(cause: Cause, function: str | None, told: list[Stall]) -> Stall:
    """Return the stall that has this cause and this line; there may be others, but never with a wrong one of either.

    On a machine that is busy enough nobody of ours is run for as long as the stall lasts, and that is what is told then.
    """
    possible = {(cause, function), (cause, None), ("no CPU", None), ("unknown", None)}
    assert {seen(stall) for stall in told} <= possible
    return next(stall for stall in told if seen(stall) == (cause, function))


def test_a_call_that_holds_the_gil_in_a_coroutine(run: Run) -> None:
    stall = the("blocked, computing", "hold", stalls(run, in_coroutine(hold)))
    assert stall.culprit_thread == stall.thread
    assert stall.callback is not None
    assert stall.callback.function == "stalls.<locals>.thrice"


def test_a_call_that_sleeps_in_a_coroutine(run: Run) -> None:
    stall = the("blocked, waiting", "nap", stalls(run, in_coroutine(nap)))
    assert stall.duration > LONG * 0.8


def test_a_lock_in_a_coroutine_is_not_taken_for_the_gil(run: Run) -> None:
    lock = threading.Lock()

    def wait() -> None:
        lock.acquire(timeout=LONG)

    with lock:
        told = stalls(run, in_coroutine(wait))
    the("blocked, waiting", "test_a_lock_in_a_coroutine_is_not_taken_for_the_gil.<locals>.wait", told)


def test_a_call_that_holds_the_gil_in_a_pool(run: Run) -> None:
    stall = the("starved by a hog", "hold", stalls(run, in_pool(hold)))
    assert stall.culprit_thread is not None
    assert (stall.culprit_thread.name or "").startswith("pool")


def test_a_hog_is_noticed_while_it_holds_the_gil(run: Run) -> None:
    stall = the("starved by a hog", "hold", stalls(run, in_pool(hold)))
    assert stall.noticed is not None
    assert stall.noticed < stall.end
    assert stall.noticed_holder == stall.culprit_thread


def test_a_call_that_releases_the_gil_in_a_pool_stalls_nothing(run: Run) -> None:
    with Watch(stall=LONG / 2) as watch:
        run(in_pool(lambda: CDLL(None).usleep(int(LONG * 1e6))))
    assert not {"starved by a hog", "blocked, computing", "blocked, waiting"} & watch.snapshot().stalls.keys()


def test_many_python_threads_take_turns(run: Run) -> None:
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            pass

    async def main() -> None:
        threads = [threading.Thread(target=spin) for _ in range(12)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 1
        while time.monotonic() < end:  # noqa: ASYNC110 - a loop that comes back again and again
            await asyncio.sleep(0.001)
        stop.set()
        for thread in threads:
            thread.join()

    with Watch(stall=0.03) as watch:
        run(main)
    snapshot = watch.snapshot()
    turns = [stall for stall in snapshot.worst if stall.cause == "starved by turns"]
    assert turns
    assert {stall.culprit.function for stall in turns if stall.culprit} <= {
        "test_many_python_threads_take_turns.<locals>.spin"
    }
    assert len(turns[0].evidence.rivals) > 1


def test_a_full_collection(run: Run) -> None:
    cyclic: list[Any] = [[] for _ in range(2_000_000)]
    for item in cyclic:
        item.append(item)
    with Watch(stall=0.02) as watch:
        run(in_coroutine(gc.collect))
    assert "garbage collection" in watch.snapshot().stalls
    assert watch.snapshot().collected > 0.02


def test_a_hog_and_a_sleep_are_told_apart_in_one_run(run: Run) -> None:
    async def main() -> None:
        await in_pool(hold)()
        await in_coroutine(nap)()

    told = stalls(run, main)
    the("starved by a hog", "hold", [stall for stall in told if stall.cause != "blocked, waiting"])
    the("blocked, waiting", "nap", [stall for stall in told if stall.cause != "starved by a hog"])


def test_a_loop_that_stops_while_it_is_late_has_stalled(run: Run) -> None:
    async def main() -> None:
        await asyncio.sleep(0.05)
        nap()

    with Watch() as watch:
        run(main)
    the("blocked, waiting", "nap", [stall for stall in watch.snapshot().worst if stall.duration > LONG / 2])


@pytest.mark.parametrize(
    ("main", "cause"),
    [
        (in_pool(hold), "starved by a hog"),
        (in_coroutine(nap), "blocked, waiting"),
    ],
)
def test_without_reading_the_gil_the_witness_tells_the_cause_and_no_thread(main: Main, cause: Cause) -> None:
    told = stalls(run_asyncio, main, read_gil=False)
    assert {stall.cause for stall in told} <= {cause, "no CPU", "unknown"}
    found = [stall for stall in told if stall.cause == cause]
    assert found
    if cause == "starved by a hog":
        assert {stall.culprit_thread for stall in found} == {None}


def test_a_process_that_is_stopped_had_no_cpu() -> None:
    program = dedent(
        """
        import asyncio, sys, threading
        from gilscope.watch import Watch

        async def main():
            asked = threading.Event()
            threading.Thread(target=lambda: (sys.stdin.read(), asked.set())).start()
            await asyncio.sleep(0.05)
            print("up", flush=True)
            while not asked.is_set():
                await asyncio.sleep(0.005)

        with Watch() as watch:
            asyncio.run(main())
        print({stall.cause for stall in watch.snapshot().worst if stall.duration > 0.25})
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        process.send_signal(signal.SIGCONT)
        process.stdin.close()
        assert process.stdout.read() == "{'no CPU'}\n"


def test_the_task_and_its_coroutine_are_named() -> None:
    async def blocking() -> None:
        nap()

    async def main() -> None:
        await asyncio.sleep(0.05)
        await asyncio.create_task(blocking(), name="the culprit")

    stall = the("blocked, waiting", "nap", stalls(run_asyncio, main))
    assert stall.task == "the culprit"
    assert stall.coroutine is not None
    assert stall.coroutine.endswith("blocking")


def test_a_loop_that_runs_already_is_watched() -> None:
    async def main() -> None:
        await asyncio.sleep(0)
        with Watch() as watch:
            nap()
        assert seen(watch.snapshot().worst[0]) == ("blocked, waiting", "nap")

    asyncio.run(main())


def test_a_loop_that_runs_already_in_another_thread_is_watched() -> None:
    started, watched = threading.Event(), threading.Event()

    async def main() -> None:
        started.set()
        while not watched.is_set():  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        nap()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    started.wait()
    with Watch() as watch:
        watched.set()
        thread.join()
    assert seen(watch.snapshot().worst[0]) == ("blocked, waiting", "nap")


def test_a_loop_with_a_clock_of_its_own_is_left_alone() -> None:
    class Fake(asyncio.SelectorEventLoop):
        def time(self) -> float:
            return 1.0

    async def main() -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    with Watch() as watch, asyncio.Runner(loop_factory=Fake) as runner:
        runner.run(main())
    assert watch.snapshot().loops_with_own_clock == 1
    assert watch.snapshot().lags.count == 0


def test_stalls_are_told_while_the_program_runs() -> None:
    told: list[tuple[float, Stall]] = []
    with Watch(on_stall=lambda stall: told.append((time.monotonic(), stall))) as watch:
        run_asyncio(in_pool(hold))
        by_then = [stall for at, stall in told]
    late = [at - watch.began - stall.end for at, stall in told if stall.cause == "starved by a hog"]
    assert by_then
    assert late
    assert max(late) < 1.0


def test_a_failing_callback_is_logged_and_dropped(caplog: pytest.LogCaptureFixture) -> None:
    def fail(stall: Stall) -> None:
        raise RuntimeError(stall.cause)

    with caplog.at_level(logging.ERROR, "gilscope"), Watch(on_stall=fail) as watch:
        run_asyncio(in_coroutine(nap))
        run_asyncio(in_coroutine(nap))
    assert watch.snapshot().stalls["blocked, waiting"] >= 2
    assert "on_stall failed" in caplog.text


def test_a_callback_may_stop_the_watch() -> None:
    done = threading.Event()

    def stop(_: Stall) -> None:
        watch.stop()
        done.set()

    watch = Watch(on_stall=stop)
    watch.start()
    run_asyncio(in_coroutine(nap))
    assert done.wait(30)


def test_sums_only_grow_and_never_outrun_the_time() -> None:
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


def test_a_single_hold_is_in_the_snapshot_straight_after_it() -> None:
    with Watch() as watch:
        time.sleep(0.05)
        before = watch.snapshot().held
        hold()
        after = watch.snapshot().held
    assert before is not None
    assert after is not None
    assert after - before > 0.9 * LONG


def test_an_idle_second_after_a_busy_one_adds_nothing() -> None:
    with Watch() as watch:
        hold()
        time.sleep(0.1)
        before = watch.snapshot()
        time.sleep(1)
        after = watch.snapshot()
    assert before.held is not None
    assert after.held is not None
    assert after.held - before.held < 0.1


def test_a_watch_starts_once_and_stops_as_often_as_wanted() -> None:
    watch = Watch()
    with pytest.raises(RuntimeError, match="has not started"):
        watch.snapshot()
    watch.stop()
    watch.start()
    with pytest.raises(RuntimeError, match="starts once"):
        watch.start()
    watch.stop()
    watch.stop()
    assert watch.snapshot() == watch.snapshot()


def test_the_hooks_are_gone_when_nobody_watches() -> None:
    before = asyncio.BaseEventLoop.run_forever, list(sys.meta_path), list(gc.callbacks)
    with Watch(), Watch():
        assert asyncio.BaseEventLoop.run_forever is not before[0]
    assert (asyncio.BaseEventLoop.run_forever, list(sys.meta_path), list(gc.callbacks)) == before


def test_starting_and_stopping_leaves_nothing() -> None:
    def left() -> tuple[int, int]:
        return len(list(Path("/proc/self/task").iterdir())), len(list(Path("/proc/self/fd").iterdir()))

    with Watch():
        run_asyncio(in_coroutine(lambda: None))
    _settle()
    before, threads = left(), threading.active_count()
    for _ in range(200):
        with Watch():
            pass
    _settle()
    assert left() == before
    assert threading.active_count() == threads


def _settle() -> None:
    """The thread that tells has told, but may not have gone yet."""
    end = time.monotonic() + 30
    while any(name.startswith("gilscope") for name in _thread_names()) and time.monotonic() < end:
        time.sleep(0.001)
    time.sleep(0.05)


def _thread_names() -> list[str]:
    return [(task / "comm").read_text() for task in Path("/proc/self/task").iterdir() if (task / "comm").exists()]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_runs_on_and_is_not_watched() -> None:
    with Watch() as watch:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                run_asyncio(in_coroutine(lambda: None))
                watch.stop()
                with Watch() as anew:
                    run_asyncio(in_coroutine(nap))
                status = 0 if anew.snapshot().stalls.get("blocked, waiting") else 2
            finally:
                os._exit(status)
        _, ended = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(ended) == 0
    assert watch.snapshot().children == 1


def test_children_that_run_another_program_are_counted() -> None:
    def run_true() -> None:
        subprocess.run(["true"], check=True)

    def run_true_after_a_fork() -> None:
        subprocess.run(["true"], check=True, preexec_fn=lambda: None)

    before = subprocess._fork_exec, os.posix_spawn  # type: ignore[attr-defined]
    with Watch() as outer, Watch() as inner:
        run_true()
        run_true_after_a_fork()
        os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)
    assert (outer.snapshot().children, inner.snapshot().children) == (3, 3)
    assert (subprocess._fork_exec, os.posix_spawn) == before  # type: ignore[attr-defined]


def test_importing_gilscope_loads_no_watch() -> None:
    assert gilscope.Watch is Watch
    assert _core.monotonic() == pytest.approx(time.monotonic(), abs=60)
