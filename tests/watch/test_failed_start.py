"""A watch whose threads cannot be started says so, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path

import pytest
from gilscope import Watch


class FailsToStart:
    """Stands for a listener whose part of the start fails, as it does at the limit of threads."""

    def started(self, _: object) -> None:
        raise RuntimeError("can't start new thread")

    def child_started(self) -> None: ...

    def timeout(self) -> float:
        return 0.01

    def updated(self, *_: object, **__: object) -> None: ...


def native_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    new = watch._new_session()
    new._listener = FailsToStart()
    monkeypatch.setattr(watch, "_new_session", lambda: new)
    return watch


def test_a_loop_beside_threads_that_cannot_start_is_unwatched_because_of_them(watch: Watch) -> None:
    listeners, threads = list(gc.callbacks), native_threads()
    watch.start_with_first_loop()
    asyncio.run(asyncio.sleep(0))
    asyncio.run(asyncio.sleep(0))
    assert gc.callbacks == listeners
    assert native_threads() <= threads  # one of an earlier test may have ended meanwhile
    watch.stop()
    seen = watch.snapshot()
    (loop,) = seen.unwatched_loops
    assert (loop.why, loop.detail) == ("threads", "can't start new thread")
    assert "not watched: gilscope could not start its threads: can't start new thread" in " ".join(str(watch).split())


def test_a_start_that_fails_raises_and_leaves_no_listener(watch: Watch) -> None:
    listeners = list(gc.callbacks)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        watch.start()
    assert gc.callbacks == listeners


def test_a_start_that_fails_leaves_no_heartbeat_file(tmp_path: Path) -> None:
    reads, writes = os.pipe()
    watch = Watch(log=writes, heartbeat_file=tmp_path / "beat.json")
    with watch:
        pass
    os.close(writes)
    os.close(reads)
    with pytest.raises(OSError, match="cannot write the log to descriptor"):
        watch.start()
    assert list(tmp_path.iterdir()) == []
