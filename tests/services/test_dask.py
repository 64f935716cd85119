"""A dask worker is watched to its end, which is a SIGTERM."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING

import pytest

from tests.services.service import SECONDS_TO_ANSWER, planted, reported, running, written

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module", autouse=True)
def _dask_is_loaded() -> None:
    """Load what keeps a descriptor open before a test looks for those that are left."""
    importlib.import_module("distributed")


def test_a_dask_worker_whose_task_blocks_its_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = """
        import time


        async def total():  # dask runs it on the worker's own event loop
            time.sleep(0.2)  # stalls the worker
    """
    file = written(tmp_path, "stalling_work.py", work)
    monkeypatch.syspath_prepend(tmp_path)
    total = importlib.import_module("stalling_work").total
    options = ("--no-nanny", "--nthreads", "1", "--no-dashboard")

    async def main() -> None:
        from distributed import Client, Scheduler

        async with Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0") as scheduler:
            command = ("-m", "distributed.cli.dask_worker", scheduler.address, *options)
            with running(tmp_path, "gilscope", "watch", "-o", "out.json", *command) as worker:
                async with Client(scheduler.address, asynchronous=True) as client:  # type: ignore[no-untyped-call,unused-ignore]
                    stalls = [client.submit(total, pure=False) for _ in range(3)]
                    await asyncio.wait_for(client.gather(stalls), SECONDS_TO_ANSWER)
                await asyncio.to_thread(worker.end)

    asyncio.run(main())
    assert reported(tmp_path / "out.json")[planted(file)] == {"blocked, waiting"}
