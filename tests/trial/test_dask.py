"""The strategy ``dask``, on a real scheduler and two workers that run as processes on the loopback."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gilscope
import pytest
from gilscope.comparison import api
from gilscope.comparison.run import ComparisonRun, NoProgress
from gilscope.records.result import Plan, Trial
from gilscope.trial import dask
from gilscope.trial.cpu_time import descendants

from tests.support.shadowing import file_of, shadow_the_standard_library

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START_LIMIT = 60
pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start a scheduler and two workers; yield its address and its process, which the last test that uses it kills."""
    known = tmp_path_factory.mktemp("scheduler") / "scheduler.json"
    with ExitStack() as stack:
        process = stack.enter_context(
            _dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", file=known)
        )
        stack.callback(process.kill)
        for _ in range(2):
            worker = stack.enter_context(
                _dask("worker", "--no-nanny", "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1", file=known)
            )
            stack.callback(worker.kill)
        address = _address(known)
        _await_workers(address, 2)
        yield address, process


def _dask(command: str, *arguments: str, file: Path) -> subprocess.Popen[bytes]:
    run = f"from distributed.cli.dask_{command} import main; main()"
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", run, *arguments, "--scheduler-file", str(file)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=file.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])},
    )


def _address(file: Path) -> str:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        try:
            return str(json.loads(file.read_text())["address"])
        except (FileNotFoundError, ValueError):
            time.sleep(0.1)
    pytest.fail("the scheduler did not start")


def _await_workers(address: str, count: int) -> None:
    code = f"from distributed import Client\nwith Client({address!r}) as c: c.wait_for_workers({count}, timeout={START_LIMIT})"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=2 * START_LIMIT)


def touching(path: str) -> int:
    """Leave a mark that this ran, and take a moment."""
    Path(path).touch()
    time.sleep(0.02)
    return 7


def test_a_running_schedulers_workers_are_used(scheduler: tuple[str, Any], tmp_path: Path) -> None:
    address, _ = scheduler
    mark = tmp_path / "mark"
    result = gilscope.compare(touching, str(mark), strategies=["dask"], dask=address, seconds=0.1)
    assert result.comparison is not None
    trip = result.comparison.round_trips[0]
    assert (trip.strategy, trip.works, trip.answer) == ("dask", True, "same"), trip.reason
    assert [trial.status for trial in result.trials] == ["finished"] * len(result.trials)
    assert trip.empty is not None
    assert trip.empty > 0


async def found_by_a_worker(address: str, module: str) -> str:
    """Return the path of the file that a worker imports as ``module``."""
    async with dask.strategy_at(address)(file_of, 1) as run:
        return str(await run(file_of, module))


class KillsTheScheduler(NoProgress):
    """Progress that kills the scheduler as soon as a call of the first trial on it has run."""

    def __init__(self, process: subprocess.Popen[bytes], mark: Path) -> None:
        self._process, self._mark = process, mark

    def trial(self, name: str, work: Callable[[Callable[[float], None]], Trial]) -> Trial:
        if name != "dask x1":
            return super().trial(name, work)
        self._mark.unlink(missing_ok=True)
        return work(lambda _passed: self._process.kill() if self._mark.exists() else None)


def test_a_scheduler_that_goes_away_is_reported_and_the_rest_stands(
    scheduler: tuple[str, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    address, process = scheduler
    mark = tmp_path / "mark"
    with api.named_candidates(["dask", "thread"], address) as chosen:
        subject = api.subject(touching, (str(mark),))
        comparison = ComparisonRun(subject, chosen, Plan(seconds=0.3, timeout=90), budget=0.01)
        comparison.run(KillsTheScheduler(process, mark))
    trials = {trial.case: trial for trial in comparison.result().trials}
    assert trials["dask x1"].status == "died"
    assert f"the scheduler at {address} went away" in trials["dask x1"].reason
    assert trials["dask x2"].status == "died"
    assert f"the scheduler at {address} went away" in trials["dask x2"].reason
    assert (trials["thread x1"].status, trials["thread x2"].status) == ("finished", "finished")


def test_without_an_address_a_local_cluster_runs_for_as_long_as_it_is_needed_and_finds_the_users_modules(
    tmp_path: Path,
) -> None:
    shadow_the_standard_library(tmp_path)
    (tmp_path / "mine.py").touch()
    before = descendants(os.getpid())
    with dask.local_cluster(2, [str(tmp_path), *sys.path]) as address:
        assert asyncio.run(found_by_a_worker(address, "mine")) == str(tmp_path / "mine.py")
        pids = set(descendants(os.getpid())) - set(before)
        assert len(pids) >= 3  # the scheduler and its workers
    deadline = time.monotonic() + START_LIMIT
    while any(map(_runs, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)  # what is killed on a busy machine takes a moment to go
    assert [pid for pid in pids if _runs(pid)] == []


def test_an_address_where_nobody_answers_is_refused_before_anything_runs() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-m", "gilscope", "compare", "1", "--dask", address]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asking:
            with pytest.raises(ValueError, match="no dask scheduler answers at tcp"):
                gilscope.compare(touching, "", strategies=["dask"], dask=address)
            out, err = asking.communicate(timeout=START_LIMIT)
    assert (asking.returncode, out) == (2, "")
    assert f"no dask scheduler answers at {address} within 5 s: start one there, or correct the address" in " ".join(
        err.split()
    )


def test_an_address_without_the_strategy_is_refused() -> None:
    with pytest.raises(ValueError, match="dask is not among the strategies"):
        gilscope.compare(touching, "", strategies=["thread"], dask="tcp://127.0.0.1:1")


def _runs(pid: int) -> bool:
    """Whether the process is there and is no zombie, which is the system's to clear away."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_extra_to_install_is_named_if_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert dask.not_installed() == "needs dask.distributed: pip install 'gilscope[dask]'"
