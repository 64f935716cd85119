"""Programs that run an event loop of their own making are watched to their end, which is a SIGTERM."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tests.services.service import planted, reported, running, written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def redis() -> Iterator[int]:
    """Run an imitation of redis in threads, and return its port."""
    import fakeredis

    with fakeredis.TcpFakeServer(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_an_arq_worker(tmp_path: Path, redis: int) -> None:
    tasks = f"""
        import time

        import arq
        import arq.worker


        async def report(_):
            time.sleep(1.0)  # stalls every other job


        async def once(worker):
            await worker["redis"].enqueue_job("report")


        async def nothing(*_):
            pass


        arq.worker.log_redis_info = nothing  # the imitation of redis has no INFO


        class Worker:
            functions = [report]
            on_startup = once
            redis_settings = arq.connections.RedisSettings(port={redis})
    """
    file = written(tmp_path, "tasks.py", tasks)
    with running(tmp_path, "gilscope", "watch", "-o", "out.json", "-m", "arq", "tasks.Worker") as worker:
        worker.wait_for("report ●")
        worker.end()
    assert reported(tmp_path / "out.json")[planted(file)] == {"blocked, waiting"}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks can start eagerly from CPython 3.12 on")
def test_eager_tasks_as_home_assistant_makes_them(tmp_path: Path) -> None:
    hass = """
        import asyncio, signal, time


        async def turn_on():
            time.sleep(1.0)  # stalls the whole house


        async def handle():
            await asyncio.create_task(turn_on())


        async def main():
            loop = asyncio.get_running_loop()
            loop.set_task_factory(asyncio.eager_task_factory)
            stop = asyncio.Event()
            loop.add_signal_handler(signal.SIGTERM, stop.set)
            await asyncio.sleep(0.05)
            loop.call_later(0.05, lambda: loop.create_task(handle()))
            await asyncio.sleep(0.5)
            print("ready", flush=True)
            await stop.wait()


        asyncio.run(main())
    """
    file = written(tmp_path, "hass.py", hass)
    with running(tmp_path, "gilscope", "watch", "-o", "out.json", "hass.py") as service:
        service.wait_for("ready")
        status, _ = service.end()
    assert status == 0
    assert reported(tmp_path / "out.json")[planted(file)] == {"blocked, waiting"}
