"""The strategy ``dask``: ``Client.get_executor()`` of dask.distributed, for what one machine is not enough for.

A scheduler is always reached by its address. Where the user has none, a cluster of local processes is started beside the
comparison, in a process of its own: no trial pays for its start, and no script of the user's is imported by it.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gilscope.isolated import supervise

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from gilscope.trial.strategies import Run, Strategy

ANSWER_LIMIT = 5.0
"""Seconds within which a scheduler must answer."""
CONNECT_LIMIT = 15.0
"""Seconds for a trial to reach a scheduler that has answered before: trials start on a machine that is busy with them."""
START_LIMIT = 60.0
"""Seconds within which a local cluster must be up."""


def missing() -> str:
    """Return what to install where dask.distributed is not there, or an empty string."""
    return "" if importlib.util.find_spec("distributed") else "needs dask.distributed: pip install 'gilscope[dask]'"


def at(address: str, *, upload: str = "") -> Strategy:
    """Return the strategy that runs calls on the workers of the scheduler at ``address``.

    ``upload`` is the path of a module that the workers cannot import until they are sent it. As many workers are used as
    it takes for the threads asked for; there may be fewer.
    """

    @asynccontextmanager
    async def dask(function: Callable[..., Any], workers: int) -> AsyncIterator[Run]:
        from distributed import Client

        loop = asyncio.get_running_loop()
        if _refuses(address):
            raise ConnectionError(f"the scheduler at {address} went away")
        with _quiet(), Client(address, timeout=CONNECT_LIMIT) as client:  # type: ignore[no-untyped-call,unused-ignore]
            if upload:
                client.upload_file(upload)
            chosen = _enough(client.nthreads(), workers)
            client.run(callable, function, workers=chosen)  # that it arrives has its module imported
            pool = client.get_executor(pure=False, workers=chosen)  # a pure call's result would be remembered

            async def run(function: Callable[..., Any], /, *args: Any) -> Any:
                try:
                    return await loop.run_in_executor(pool, function, *args)
                except (Exception, asyncio.CancelledError):
                    task = asyncio.current_task()
                    if client.status == "running" or (task is not None and task.cancelling()):
                        raise
                    raise ConnectionError(f"the scheduler at {address} went away") from None

            yield run

    return dask


def answers(address: str) -> str:
    """Return why the scheduler at ``address`` cannot be used, or an empty string. Asked in a process of its own."""
    limit = ANSWER_LIMIT + START_LIMIT  # the import of distributed is not the scheduler's
    outcome = supervise.run("gilscope.trial.dask", address.encode(), timeout=limit)
    return "" if outcome.status == "finished" else f"no dask scheduler answers at {address} within {ANSWER_LIMIT:g} s"


@contextmanager
def local(workers: int) -> Iterator[str]:
    """Start a cluster of ``workers`` processes on this machine, of one thread each; yield its scheduler's address.

    The workers import what this process can. All of it is ended with the context, or with this process.
    """
    path = os.pathsep.join(sys.path)
    child = subprocess.Popen(
        [sys.executable, "-m", "gilscope.trial.dask", str(workers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
        process_group=0,
    )
    assert child.stdout is not None  # noqa: S101
    try:
        address = child.stdout.readline().decode().strip()
        if not address:
            raise RuntimeError("a local dask cluster did not start; `python -m gilscope.trial.dask 2` shows why")
        yield address
    finally:
        assert child.stdin is not None  # noqa: S101
        child.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=ANSWER_LIMIT)  # that long for the workers' folders to be tidied up
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.stdout.close()
        child.wait()


def _refuses(address: str) -> bool:
    """Whether nobody listens there any more: a client would try again until its limit. One that is slow refuses nothing."""
    from distributed.comm.addressing import get_address_host_port

    try:
        socket.create_connection(get_address_host_port(address), timeout=CONNECT_LIMIT).close()
    except ConnectionRefusedError:
        return True
    except (OSError, ValueError):  # the client's to tell; and not every kind of address has a host and a port
        return False
    return False


def _enough(threads: dict[str, int], wanted: int) -> list[str]:
    """Return as few workers' addresses as have ``wanted`` threads, or all of them."""
    chosen: list[str] = []
    have = 0
    for address, of_worker in threads.items():
        if have >= wanted:
            break
        chosen.append(address)
        have += of_worker
    if not chosen:
        raise ConnectionError("the scheduler has no workers")
    return chosen


@contextmanager
def _quiet() -> Iterator[None]:
    """Have a lost scheduler found out soon, and not told on stderr by every part of the client."""
    import logging

    import dask

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set({"distributed.comm.timeouts.connect": CONNECT_LIMIT, "distributed.comm.retry.count": 0}):
        yield


def _serve(workers: int) -> None:
    """Run a cluster until stdin ends; its address is the first line on stdout."""
    from distributed import LocalCluster

    supervise.die_with_parent()
    with LocalCluster(  # type: ignore[no-untyped-call,unused-ignore]
        n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()


def _ask(asked: str, answered: str) -> None:
    """Connect to the scheduler whose address is in the file ``asked``."""
    from distributed import Client

    supervise.die_with_parent()
    address = Path(asked).read_text()
    # A client's own limit does not hold where somebody accepts the connection and says nothing.
    limit = threading.Timer(ANSWER_LIMIT, os._exit, (1,))
    limit.daemon = True
    limit.start()
    with _quiet(), Client(address, timeout=ANSWER_LIMIT):  # type: ignore[no-untyped-call,unused-ignore]
        limit.cancel()
        Path(answered).touch()


if __name__ == "__main__":
    if len(sys.argv) == 2:
        _serve(int(sys.argv[1]))
    else:
        _ask(*sys.argv[1:])
