"""Services that were started without gilscope are attached to while they work."""

from __future__ import annotations

import asyncio
import importlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from gilscope.attach.api import Attachment

from tests.services.service import SECONDS_TO_ANSWER, free_port, from_the_page, get, planted, running, written

if TYPE_CHECKING:
    from gilscope.records.stall import Frame

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module", autouse=True)
def _dask_is_loaded() -> None:
    """Load what keeps a descriptor open before a test looks for those that are left."""
    importlib.import_module("distributed")


def place(frame: Frame | None) -> str:
    return f"{Path(frame.file).name}:{frame.line}" if frame else ""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_fastapi_under_uvicorn_and_under_load(tmp_path: Path, loop: str) -> None:
    app, port = from_the_page(tmp_path, "app.py"), free_port()
    command = ("uvicorn", "app:app", "--port", str(port), "--loop", loop)
    with running(tmp_path, *command) as service, ThreadPoolExecutor(3) as clients:
        get(service, port, "/openapi.json")
        with Attachment(service.process.pid) as attachment:
            reports = [clients.submit(get, service, port, "/report") for _ in range(4)]
            others = [clients.submit(get, service, port, "/openapi.json") for _ in range(100)]
            assert [answer.result() for answer in reports] == ['{"rows":3}'] * 4
            assert all(answer.result() for answer in others)
            assert attachment.loops == 1
        service.end()
    seen = attachment.snapshot()
    stalls = [stall for stall in seen.worst if place(stall.culprit) == planted(app)]
    assert sum(stall.duration for stall in stalls) >= 4 * 0.3  # one turn may have answered several
    assert {stall.cause for stall in stalls} == {"blocked, waiting"}
    first = seen.sites[0]
    assert place(first.culprit) == planted(app)
    [most] = [stack for stack in attachment.time_tree().stacks if stack.doing == "blocked"][:1]
    assert most.culprit is not None
    assert place(attachment.time_tree().frames[most.culprit]) == planted(app)


def test_a_dask_worker_whose_task_blocks_its_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = """
        import time


        async def total():  # dask runs it on the worker's own event loop
            time.sleep(0.2)  # stalls the worker
    """
    file = written(tmp_path, "stalling_work_2.py", work)
    monkeypatch.syspath_prepend(tmp_path)
    total = importlib.import_module("stalling_work_2").total
    options = ("--no-nanny", "--nthreads", "1", "--no-dashboard")

    async def main() -> Attachment:
        from distributed import Client, Scheduler

        async with Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0") as scheduler:
            command = ("distributed.cli.dask_worker", scheduler.address, *options)
            with running(tmp_path, *command) as worker:
                async with Client(scheduler.address, asynchronous=True) as client:  # type: ignore[no-untyped-call,unused-ignore]
                    await asyncio.wait_for(client.wait_for_workers(1), SECONDS_TO_ANSWER)  # type: ignore[no-untyped-call,unused-ignore]
                    with Attachment(worker.process.pid) as attachment:
                        stalls = [client.submit(total, pure=False) for _ in range(3)]
                        await asyncio.wait_for(client.gather(stalls), SECONDS_TO_ANSWER)
                await asyncio.to_thread(worker.end)
        return attachment

    attachment = asyncio.run(main())
    assert attachment.loops >= 1
    stalls = [stall for stall in attachment.snapshot().worst if place(stall.culprit) == planted(file)]
    assert sum(stall.duration for stall in stalls) >= 3 * 0.2
    assert {stall.cause for stall in stalls} == {"blocked, waiting"}
