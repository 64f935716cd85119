"""Loops of every class are watched, whenever their class was imported, or are named as not watched."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import types
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from gilscope.records.watch_report import UnwatchedLoop
from gilscope.watch.api import Watch

from tests.support.bridging import descriptors
from tests.support.stalling import in_coroutine, nap, run_asyncio, seen

if TYPE_CHECKING:
    from collections.abc import Generator


class OwnRunForever(asyncio.SelectorEventLoop):
    """As qasync, QtAsyncio and rloop have, and as nest_asyncio puts into the loop's class."""

    def run_forever(self) -> None:
        asyncio.events._set_running_loop(self)
        while not self._stopping:  # type: ignore[has-type]
            self._run_once()  # type: ignore[attr-defined]
            asyncio.events._set_running_loop(self)  # again, as nest_asyncio does
        self._stopping = False
        asyncio.events._set_running_loop(None)


class OnlyTimers(OwnRunForever):
    """As loops of toolkits that cannot watch files."""

    def add_reader(self, *_: object) -> Any:
        raise NotImplementedError


class OwnEpoch(OnlyTimers):
    """As rloop's, whose clock begins with the loop."""

    def time(self) -> float:
        return super().time() - 1e6


class Silent(OwnRunForever):
    """A loop that runs none of the callbacks that measure its lag."""

    def add_reader(self, *_: object) -> Any:
        pass

    def call_later(self, *_: object, **_keywords: object) -> Any:
        return asyncio.Handle(print, (), self)


class Refusing(OwnRunForever):
    def add_reader(self, *_: object) -> Any:
        raise NotImplementedError

    def call_later(self, *_: object, **_keywords: object) -> Any:
        raise OSError("no timers here")


@types.coroutine
def turn() -> Generator[None, None, None]:
    """Let the loop run once, as ``asyncio.sleep(0)`` does."""
    yield


async def stall_twice() -> None:
    for _ in range(2):
        await in_coroutine(nap)()


@pytest.mark.parametrize("kind", [OwnRunForever, OnlyTimers, OwnEpoch, uvloop.Loop])
def test_a_loop_with_a_run_forever_of_its_own_is_watched(kind: type[asyncio.AbstractEventLoop]) -> None:
    with Watch() as watch, asyncio.Runner(loop_factory=kind) as runner:
        runner.run(stall_twice())
    assert ("blocked, waiting", "nap") in {seen(stall) for stall in watch.snapshot().worst}
    assert watch.snapshot().unwatched_loops == ()


@pytest.mark.parametrize("kind", [OwnRunForever, OwnEpoch])
def test_a_stall_before_the_first_beat_of_a_loop_of_unknown_class_has_its_cause_and_line(
    kind: type[OwnRunForever],
) -> None:
    class Unknown(kind):  # type: ignore[valid-type, misc]
        pass

    async def nap_at_once() -> None:
        nap()
        await asyncio.sleep(0.05)

    with Watch() as watch, asyncio.Runner(loop_factory=Unknown) as runner:
        runner.run(nap_at_once())
    assert ("blocked, waiting", "nap") in {seen(stall) for stall in watch.snapshot().worst}
    assert watch.snapshot().unwatched_loops == ()


@pytest.mark.parametrize(("kind", "why"), [(Silent, "silent"), (Refusing, "error")])
def test_a_loop_that_cannot_be_watched_is_named_and_runs_as_ever(kind: type[OwnRunForever], why: str) -> None:
    with Watch() as watch:
        loop = kind()
        loop.run_until_complete(asyncio.to_thread(time.sleep, 0.6))
        loop.close()
    seen = watch.snapshot()
    assert [(loop.name.rpartition(".")[2], loop.why) for loop in seen.unwatched_loops] == [(kind.__name__, why)]
    assert (seen.loop_runs, seen.stalls, seen.lags.count) == (1, {}, 0)


@pytest.mark.parametrize("kind", [asyncio.SelectorEventLoop, uvloop.Loop])
def test_a_loop_that_a_thread_runs_already_is_found(kind: type[asyncio.AbstractEventLoop]) -> None:
    loop = kind()
    thread = threading.Thread(target=partial(loop.run_forever))  # no frame leads from it to a native loop
    thread.start()
    while not loop.is_running():
        time.sleep(0.001)
    with Watch() as watch:
        asyncio.run_coroutine_threadsafe(stall_twice(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    assert "blocked, waiting" in watch.snapshot().stalls


def test_a_loop_that_runs_very_often_costs_little_and_leaves_nothing() -> None:
    def seconds(runs: int) -> float:
        began = time.thread_time()
        for _ in range(runs):
            loop.run_until_complete(asyncio.sleep(0))
        return time.thread_time() - began

    loop = asyncio.new_event_loop()
    unwatched = min(seconds(300) for _ in range(5))
    with Watch() as watch:
        watched = min(seconds(300) for _ in range(5))
        files = descriptors()
        seconds(1000)
        assert descriptors() < files + 100  # the sampler opens a few for each loop that it sees
    loop.close()
    assert watch.snapshot().loop_runs == 2500
    assert watched < 12 * unwatched  # about 3; a cost that grows with the runs would be far more


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("kind", [asyncio.SelectorEventLoop, uvloop.Loop])
def test_a_child_that_turns_the_loop_it_inherited_leaves_its_parents_heartbeat_alone(
    kind: type[asyncio.AbstractEventLoop],
) -> None:
    async def main() -> None:
        await asyncio.sleep(0.05)
        if (child := os.fork()) == 0:
            try:
                signal.alarm(20)  # ends it, whatever happens
                asyncio.events._set_running_loop(runner.get_loop())  # a child of 3.12 and later has none
                end = time.monotonic() + 0.1
                while time.monotonic() < end:
                    await turn()
            finally:
                os._exit(0)
        before = watch.snapshot().lags.count
        await asyncio.sleep(0.3)
        assert watch.snapshot().lags.count > before + 10
        os.waitpid(child, 0)  # noqa: ASYNC222 - it has ended

    with Watch() as watch, asyncio.Runner(loop_factory=kind) as runner:
        runner.run(main())
    assert "blocked, waiting" not in watch.snapshot().stalls


def run(tmp_path: Path, text: str) -> list[str]:
    """Run a program, and return the lines that it prints on stdout."""
    (tmp_path / "program.py").write_text(dedent(text))
    ran = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    return ran.stdout.splitlines()


def test_a_program_that_waits_for_a_blocked_signal_gets_it(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        """
        import asyncio, os, signal, threading
        import gilscope

        def mine(thread):  # those that Python starts for gilscope, and its native ones
            return not any(str(thread) == str(known.native_id) for known in threading.enumerate())

        async def await_everything():
            await asyncio.gather(gilscope.countdown_bridge(10), gilscope.countdown_tokio(10))

        with gilscope.Watch():
            gilscope.check(sum, [1], time=0.1)
            asyncio.run(await_everything())
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
            masks = {}
            for thread in filter(mine, os.listdir("/proc/self/task")):
                status = open(f"/proc/self/task/{thread}/status").read()
                masks[status.split()[1]] = int(status.split("SigBlk:")[1].split()[0], 16)
            os.kill(os.getpid(), signal.SIGUSR1)
            print(signal.sigwait({signal.SIGUSR1}) == signal.SIGUSR1)
        for name, mask in masks.items():
            missing = [number for number in signal.valid_signals() - {9, 19} if not mask >> number - 1 & 1]
            assert not missing, (name, missing)
        ours = [name for name in masks if name.startswith("gilscope")]
        print(len(ours), len(masks) - len(ours))
        """,
    )
    assert said[0] == "True"
    ours, others = map(int, said[1].split())
    assert (ours >= 3, ours + others >= 5) == (True, True)


def test_loops_that_are_not_asyncios_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules with what is read of these libraries stand in for them."""
    numbers = itertools.count()
    counter = types.SimpleNamespace(name="_counter", default=types.SimpleNamespace(factory=numbers.__next__))
    curio, hub = types.SimpleNamespace(_lastid=1), types.SimpleNamespace(_hub_counter=0)
    reactor: Any = type("Reactor", (), {"_started": False, "_startedBefore": False})()
    for name, module in {
        "trio.lowlevel": types.SimpleNamespace(Task=types.SimpleNamespace(__attrs_attrs__=[counter])),
        "curio.task": types.SimpleNamespace(Task=curio),
        "gevent.hub": types.SimpleNamespace(Hub=hub),
        "eventlet.hubs": types.SimpleNamespace(_threadlocal=types.SimpleNamespace()),
        "twisted.internet.reactor": reactor,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)

    def named() -> list[str]:
        return [loop.name for loop in watch.snapshot().unwatched_loops]

    next(numbers)  # a loop that ran before the watch
    with Watch() as watch:
        assert named() == []
        next(numbers)
        curio._lastid += 1
        hub._hub_counter += 1
        assert named() == ["trio.run", "curio.Kernel", "gevent.hub.Hub"]
        reactor._started = True
        sys.modules["eventlet.hubs"]._threadlocal.hub = object()
    assert named()[3:] == ["eventlet.hubs", "tests.timing.test_kinds_of_loops.Reactor"]


def test_an_event_loop_of_trio_is_seen() -> None:
    trio = pytest.importorskip("trio")
    with Watch() as watch:
        trio.run(trio.sleep, 0)
    assert watch.snapshot().unwatched_loops == (UnwatchedLoop("trio.run", "library"),)


def test_a_watch_that_waits_for_the_first_loop_starts_no_thread_before_it() -> None:
    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    before = threads()
    watch = Watch()
    watch.start_with_first_loop()
    try:
        assert threads() == before
        assert watch.snapshot().loop_runs == 0
        time.sleep(0.05)
        run_asyncio(in_coroutine(nap))
        assert threads() >= before + 2
    finally:
        watch.stop()
    snapshot = watch.snapshot()
    assert 0.04 < snapshot.before_loops < snapshot.before_loops + snapshot.elapsed
    assert snapshot.stalls["blocked, waiting"] >= 1


def test_what_a_signal_handler_raises_while_a_loop_is_hooked_passes_without_our_frames() -> None:
    class Interrupting(asyncio.SelectorEventLoop):
        def time(self) -> float:
            raise KeyboardInterrupt  # stands for a signal that arrives while our code asks for the time

    with Watch():
        loop = Interrupting()
        with pytest.raises(KeyboardInterrupt) as raised:
            loop.run_forever()
        loop._thread_id = None  # type: ignore[attr-defined]  # 3.13 and later think that it runs after this
        asyncio.events._set_running_loop(None)
        loop.close()
    assert not [entry for entry in raised.traceback if "gilscope/watch" in str(entry.path)]
