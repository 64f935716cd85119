"""The strategy ``dask``: ``Client.get_executor()`` of dask.distributed, for work that needs more than one machine.

A scheduler is always reached by its address. If the user has no scheduler, a cluster of local processes is started for
the comparison, in a process of its own: no trial includes its start, and it does not import the user's script.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from gilscope.isolated import protocol, supervise

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from gilscope.trial.strategies import Run, Strategy

ANSWER_TIMEOUT_SECONDS = 5.0
"""A scheduler must answer within this time."""
CONNECT_TIMEOUT_SECONDS = 15.0
"""The same for a trial, which connects while the machine is busy with trials, to a scheduler that has answered before."""
IMPORT_TIMEOUT_SECONDS = 60.0
"""How long ``import distributed`` may take."""
PRELOAD = """
def dask_setup(worker):
    from gilscope.isolated.search_path import search
    search({path!r})
"""
"""What each worker of a local cluster runs once it has started: its own imports come before the user's folders."""


def not_installed() -> str:
    """Return what to install if dask.distributed is missing, or an empty string."""
    return "" if importlib.util.find_spec("distributed") else "needs dask.distributed: pip install 'gilscope[dask]'"


def strategy_at(address: str, *, upload: str = "") -> Strategy:
    """Return the strategy that runs calls on the workers of the scheduler at ``address``.

    ``upload`` is the path of a module that the workers need and cannot import. The strategy uses as few of the
    scheduler's workers as have the number of threads asked for, or all of them.
    """
    from distributed import Client  # now, while the user's folders are not searched yet

    @asynccontextmanager
    async def dask(function: Callable[..., Any], workers: int) -> AsyncIterator[Run]:
        loop = asyncio.get_running_loop()
        if _refuses(address):
            raise ConnectionError(f"the scheduler at {address} went away")
        with _quiet(), Client(address, timeout=CONNECT_TIMEOUT_SECONDS) as client:  # type: ignore[no-untyped-call,unused-ignore]
            if upload:
                client.upload_file(upload)
            chosen = _enough(client.nthreads(), workers)
            client.run(callable, function, workers=chosen)  # to unpickle the function, each worker imports its module
            pool = client.get_executor(pure=False, workers=chosen)  # dask would reuse the result of a pure call

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


def unreachable(address: str) -> str:
    """Return why the scheduler at ``address`` cannot be used, or an empty string. A process of its own tries it."""
    timeout = ANSWER_TIMEOUT_SECONDS + IMPORT_TIMEOUT_SECONDS
    if protocol.ask("gilscope.trial.dask:connect", address, bool, timeout=timeout).answer:
        return ""
    return f"no dask scheduler answers at {address} within {ANSWER_TIMEOUT_SECONDS:g} s: start one there, or correct the address"


def connect(address: str) -> bool:
    """Connect to the scheduler at ``address`` and return ``True``. Raise, or end this process, if it does not answer."""
    from distributed import Client

    # The client's own timeout does not cover a server that accepts the connection and sends nothing.
    limit = threading.Timer(ANSWER_TIMEOUT_SECONDS, os._exit, (1,))
    limit.daemon = True
    limit.start()
    with _quiet(), Client(address, timeout=ANSWER_TIMEOUT_SECONDS):  # type: ignore[no-untyped-call,unused-ignore]
        limit.cancel()
        return True


@contextmanager
def local_cluster(workers: int, path: Sequence[str]) -> Iterator[str]:
    """Start a cluster of ``workers`` local processes of one thread each, and yield its scheduler's address.

    The workers search modules on ``path``, from the time on when dask has imported its own. The cluster ends with the
    context, or with this process.
    """
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "gilscope.trial.dask", str(workers), json.dumps(list(path))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(_without_users_folders(path))},
        process_group=0,
    )
    assert child.stdout is not None  # noqa: S101
    try:
        address = child.stdout.readline().decode().strip()
        if not address:
            raise RuntimeError("a local dask cluster did not start; `python -m gilscope.trial.dask 2 []` shows why")
        yield address
    finally:
        assert child.stdin is not None  # noqa: S101
        child.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=ANSWER_TIMEOUT_SECONDS)  # meanwhile the workers remove their folders
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.stdout.close()
        child.wait()


def _without_users_folders(path: Sequence[str]) -> list[str]:
    """Return ``path`` from the standard library on: a script's folder or the working directory stands before it."""
    folder = sysconfig.get_path("stdlib")
    return list(path[path.index(folder) :] if folder in path else path)


def _refuses(address: str) -> bool:
    """Whether the address refuses connections: a client would retry until its timeout. A slow scheduler does not refuse."""
    from distributed.comm.addressing import get_address_host_port

    try:
        socket.create_connection(get_address_host_port(address), timeout=CONNECT_TIMEOUT_SECONDS).close()
    except ConnectionRefusedError:
        return True
    except (OSError, ValueError):  # the client reports those; and some kinds of address have no host and port
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
    """Detect a lost scheduler soon, and keep the client's parts from logging it on stderr."""
    import logging

    import dask

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set(
        {"distributed.comm.timeouts.connect": CONNECT_TIMEOUT_SECONDS, "distributed.comm.retry.count": 0}
    ):
        yield


def _serve(workers: int, path: list[str]) -> None:
    """Run a cluster until stdin is closed; print its address as the first line on stdout."""
    from distributed import LocalCluster

    from gilscope.isolated.search_path import search

    supervise.die_with_parent()
    with LocalCluster(  # type: ignore[no-untyped-call,unused-ignore]
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        preload=[PRELOAD.format(path=path)],
    ) as cluster:
        search(path)  # the scheduler, which runs in this process, unpickles functions too
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), json.loads(sys.argv[2]))
