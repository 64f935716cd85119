"""A watch names the line that belongs to a stall's cause, in programs whose stacks make that hard."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from gilscope.watch.api import Watch

from tests.support.stalling import (
    LONG,
    SHORT,
    Run,
    hold,
    in_coroutine,
    in_pool,
    nap,
    run_asyncio,
    run_uvloop,
    seen,
    stalls,
    the,
)

if TYPE_CHECKING:
    from pathlib import Path

    from gilscope.records.stall import Stall

DEEP = 150
"""More frames than are kept of a stack."""


def spin(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def walk(depth: int) -> None:
    if depth:
        walk(depth - 1)
    else:
        hold()


def seconds_in(function: str, cause: str, stall: Stall) -> float:
    parts = [part for part in stall.parts if part.culprit and part.culprit.function == function]
    return sum(part.seconds for part in parts if part.cause == cause)


@pytest.mark.parametrize("run", [run_asyncio, pytest.param(run_uvloop, marks=pytest.mark.thorough)])
def test_of_two_lines_the_longer_is_named_with_its_own_cause(run: Run) -> None:
    def first_compute() -> None:
        spin(LONG / 2)
        nap()

    stall = the("blocked, waiting", "nap", stalls(run, in_coroutine(first_compute)))
    assert seconds_in("spin", "blocked, computing", stall) == pytest.approx(LONG / 2, rel=0.5)

    def first_wait() -> None:
        time.sleep(LONG / 2)
        spin(LONG)

    the("blocked, computing", "spin", stalls(run, in_coroutine(first_wait)))


def test_a_hogs_line_beside_threads_that_acquire_the_gil_before_the_watch_does() -> None:
    stop = threading.Event()

    def wake_often() -> None:
        while not stop.wait(0.005):
            pass

    def tick() -> None:
        if not stop.is_set():
            asyncio.get_running_loop().call_later(0.003, tick)

    async def beside_others() -> None:
        tick()
        await in_pool(hold)()

    threads = [threading.Thread(target=wake_often) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        the("starved by a hog", "hold", stalls(run_asyncio, beside_others))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_hog_that_keeps_the_gil_from_a_thread_that_the_loop_starts() -> None:
    async def while_a_thread_starts() -> None:
        with ThreadPoolExecutor(2) as pool:  # the first thread may take both calls before the second one runs
            await asyncio.gather(*[asyncio.get_running_loop().run_in_executor(pool, hold) for _ in range(2)])

    the("starved by a hog", "hold", stalls(run_asyncio, while_a_thread_starts))


def test_a_hog_at_the_bottom_of_a_deep_stack() -> None:
    stall = the("starved by a hog", "hold", stalls(run_asyncio, in_pool(lambda: walk(DEEP))))
    gaps = [frame for frame in stall.stack if not frame.file]
    assert [str(gap).endswith("frames left out ...") for gap in gaps] == [True]
    assert len(stall.stack) - 1 + gaps[0].line > DEEP
    assert stall.stack[-1].function.startswith("Thread.")


def test_a_callback_that_is_deep_keeps_its_outermost_line() -> None:
    stall = the("blocked, computing", "hold", stalls(run_asyncio, in_coroutine(lambda: walk(DEEP))))
    assert stall.callback is not None
    assert stall.callback.function == "stalls.<locals>.again_and_again"


def test_a_native_loop_that_the_program_runs_by_itself() -> None:
    uvloop = pytest.importorskip("uvloop")

    def run_forever() -> None:
        loop = uvloop.new_event_loop()
        loop.call_soon(begin)
        loop.call_later(LONG + 2 * SHORT, nap)
        loop.call_later(2 * LONG + 3 * SHORT, loop.stop)
        loop.run_forever()
        loop.close()

    def begin() -> None:
        watch.start()
        nap()  # before the first beat

    watch = Watch()
    run_forever()
    watch.stop()
    stalls_of_nap = [it for it in watch.snapshot().worst if it.duration > LONG / 2]
    assert [seen(stall) for stall in stalls_of_nap] == [("blocked, waiting", "nap")] * 2
    assert {stall.callback.function for stall in stalls_of_nap if stall.callback} == {
        f"{test_a_native_loop_that_the_program_runs_by_itself.__name__}.<locals>.begin",
        "nap",
    }


def test_a_request_that_only_a_library_answers() -> None:
    fastapi = pytest.importorskip("fastapi")
    app = fastapi.FastAPI()
    table = [{"n": n, "of": [n]} for n in range(20_000)]

    async def rows() -> list[Any]:
        return table

    app.add_api_route("/rows", rows, response_model=None)  # or pydantic would encode the answer, and fast

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(_: object) -> None: ...

    async def main() -> None:
        scope = {"type": "http", "method": "GET", "path": "/rows", "query_string": b"", "headers": []}
        await asyncio.sleep(SHORT)
        # As a server does it: none of this test's frames is below the application's.
        await asyncio.create_task(app(scope, receive, send), name="request 1")
        await asyncio.sleep(SHORT)

    with Watch() as watch:
        asyncio.run(main())
    sites = watch.snapshot().sites
    site = next(site for site in sites if site.cause == "blocked, computing")
    assert (site.request, site.task) == ("GET /rows", "request 1")
    assert site.culprit is not None
    assert site.culprit.function == "FastAPI.__call__"
    assert len(site.innermost) == 5
    assert {frame.function for frame in site.innermost} & {"jsonable_encoder", "JSONResponse.render"}


def test_a_stack_that_the_program_has_switched_to() -> None:
    greenlet = pytest.importorskip("greenlet")
    the("blocked, waiting", "nap", stalls(run_asyncio, in_coroutine(lambda: greenlet.greenlet(nap).switch())))


def test_asyncios_own_frames_lie_between_the_loop_and_the_line() -> None:
    class Slow(ThreadPoolExecutor):
        def submit(self, *call: Any, **keywords: Any) -> Any:
            nap()
            return super().submit(*call, **keywords)

    async def main() -> None:
        await asyncio.sleep(SHORT)
        await asyncio.get_running_loop().run_in_executor(pool, int)
        await asyncio.sleep(SHORT)

    with Slow(1) as pool:
        ThreadPoolExecutor.submit(pool, int).result()  # starts the thread: on a busy machine that takes a while
        the("blocked, waiting", "nap", stalls(run_asyncio, main))


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals reach the main thread")
def test_a_signal_handler_on_top_of_the_selector() -> None:
    before = signal.signal(signal.SIGUSR2, lambda *_: nap())
    try:

        async def main() -> None:
            await asyncio.sleep(SHORT)
            threading.Timer(SHORT, os.kill, (os.getpid(), signal.SIGUSR2)).start()
            await asyncio.sleep(2 * LONG)

        the("blocked, waiting", "nap", stalls(run_asyncio, main))
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_a_request_is_read_from_its_asgi_scope() -> None:
    async def app(scope: dict[str, str], receive: None, send: None) -> None:  # noqa: ARG001 - what applications take
        await asyncio.sleep(SHORT)
        nap()
        await asyncio.sleep(SHORT)

    scope = {"type": "http", "method": "GET", "path": "/caf\udce9"}
    stall = the("blocked, waiting", "nap", stalls(run_asyncio, lambda: app(scope, None, None)))
    assert stall.request == r"GET /caf\udce9"


def test_names_that_are_not_utf_8_cost_neither_a_line_nor_a_file(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)  # noqa: PTH102 - pathlib has no bytes
    with open(folder + b"/app.py", "w") as file:  # noqa: PTH123 - as above
        file.write(
            "import asyncio, threading, time\n"
            "async def main():\n"
            "    threading.current_thread().name = asyncio.current_task().set_name('\\udce9') or 'caf\\udce9'\n"
            "    await asyncio.sleep(0.1)\n"
            "    time.sleep(0.3)\n"
            "asyncio.run(main())\n"
        )
    done = subprocess.run(
        [sys.executable, "-m", "gilscope", "watch", "-o", tmp_path / "out.json", folder + b"/app.py"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert rb"caf\udce9/app.py:5 in main (thread caf\udce9)" in b" ".join(done.stderr.split())
    assert rb"caf\\udce9/app.py" in (tmp_path / "out.json").read_bytes()


def test_where_the_system_hides_system_calls_causes_come_from_the_probes() -> None:
    code = (
        "import asyncio, concurrent.futures.thread, ctypes, os, time\n"
        "from gilscope.watch.api import Watch\n"  # before its files are out of reach
        "if os.getuid() == 0:\n"
        "    os.setgid(65534)\n"
        "    os.setuid(65534)\n"  # what root is not forbidden to read, it can
        "else:\n"
        "    ctypes.CDLL(None).prctl(4, 0)\n"  # PR_SET_DUMPABLE, as setuid does it
        "async def main():\n"
        "    await asyncio.sleep(0.05)\n"
        "    time.sleep(0.3)\n"
        "    await asyncio.sleep(0.05)\n"
        "    await asyncio.to_thread(ctypes.PyDLL(None).usleep, 300_000)\n"
        "with Watch() as watch:\n"
        "    asyncio.run(main())\n"
        "seen = watch.snapshot()\n"
        "print(sorted(stall.cause for stall in seen.worst if stall.duration > 0.2), seen.system_calls_hidden)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['blocked, waiting', 'starved by a hog'] True\n"
