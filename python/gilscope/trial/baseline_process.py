"""The process that measures the baseline of a trial: ``python -P -m gilscope.trial.baseline_process FD TASK``.

It prints a line when it is ready. The first line that it reads has the ids of the trial's processes; it answers when it has
measured the first slice. The second line ends the trial; the answer is a :class:`gilscope.records.result.Baseline`.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gilscope.isolated.supervise import die_with_parent
from gilscope.records.result import Baseline
from gilscope.trial.baseline import BaselineTask
from gilscope.trial.clock import MAX_PAUSES, Pauses
from gilscope.trial.cpu_time import used_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEAN_SLICE_SECONDS = 0.1
"""How long the trial runs between two pauses, on average. Random, so that it does not fall into step with the trial."""
MAX_SLICE_SECONDS = 0.3
"""On a busy machine a pause lasts longer, and the next slice lasts as long as the pause did, but no longer than this."""
MAX_CORES = 4
"""Measure the baseline on at most this many cores in one pause: those that the trial used most."""
MIN_SHARE_OF_A_CORE = 0.1
"""Ignore a thread that used less of a slice than this share."""


class Used(NamedTuple):
    """What one thread used of a slice, in seconds, and the core that it ran on last."""

    cpu: float
    queued: float
    core: int


class Trial:
    """The processes of a trial, and what their threads used since the last look."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._before: dict[tuple[str, str], tuple[int, int]] = {}
        self._cpu_before = dict.fromkeys(pids, 0.0)
        self.used()
        self.cpu_time()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the processes for as long as the context lasts."""
        try:
            self._send(signal.SIGSTOP)
            yield
        finally:
            self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def cpu_time(self) -> float:
        """Return the CPU time since the last call, with that of threads that have ended: a call may start its own threads."""
        spent = 0.0
        for pid, before in self._cpu_before.items():
            with contextlib.suppress(OSError):  # the process has ended
                self._cpu_before[pid] = used_by(pid)
                spent += self._cpu_before[pid] - before
        return spent

    def used(self) -> list[Used]:
        """Return what each thread that has not ended used since the last call."""
        threads = [thread for pid in self._pids for thread in Path(f"/proc/{pid}/task").glob("*")]
        return [used for thread in threads if (used := self._used(thread)) is not None]

    def _used(self, thread: Path) -> Used | None:
        try:
            cpu, queued = map(int, (thread / "schedstat").read_text().split()[:2])
            # The 39th field of proc_pid_stat(5); the second, a name in parentheses, may contain spaces.
            core = int((thread / "stat").read_text().rpartition(")")[2].split()[36])
        except (FileNotFoundError, ProcessLookupError):  # the thread has just ended
            return None
        key = (thread.parts[2], thread.name)
        cpu_before, queued_before = self._before.get(key, (0, 0))
        self._before[key] = cpu, queued
        return Used((cpu - cpu_before) / 1e9, (queued - queued_before) / 1e9, core)


@dataclass
class Measuring:
    """The slices of a trial, as far as it has run."""

    task: BaselineTask
    trial: Trial
    pauses: Pauses
    kernel: Callable[[int], int]
    elapsed: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    queued: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    change: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._cores = os.sched_getaffinity(0)
        self._rates = self._measure(sorted(self._cores)[:MAX_CORES])
        self._resumed = time.perf_counter()
        self.paused = 0.0
        """How long the last pause lasted."""

    def pause(self) -> None:
        """End a slice of the trial: stop the trial, measure one task alone on the cores that it used, and let it go on."""
        began = time.perf_counter()
        with self.trial.stopped():
            elapsed, used = began - self._resumed, self.trial.used()
            computing = [thread for thread in used if thread.cpu > elapsed * MIN_SHARE_OF_A_CORE]
            self.elapsed.append(elapsed)
            self.cpu.append(self.trial.cpu_time())
            self.queued.append(sum(thread.queued for thread in computing))
            by_core: dict[int, float] = {}
            for thread in computing:
                by_core[thread.core] = by_core.get(thread.core, 0.0) + thread.cpu
            self._measure_again(by_core)
            self._resumed = time.perf_counter()
            self.pauses.add(began, self._resumed)
            self.paused = self._resumed - began

    def _measure_again(self, by_core: dict[int, float]) -> None:
        """Measure one task alone on the cores that the trial used for so many seconds; keep the mean with the last time."""
        if not by_core:  # the trial waited, or other programs had the cores
            by_core = dict.fromkeys(self._rates, 1.0)
        busiest = sorted(by_core, key=lambda core: by_core[core])[-MAX_CORES:]
        before, after = self._rates, self._measure(busiest)
        whole = sum(by_core[core] for core in after)
        self.rate.append(sum(by_core[core] * (before.get(core, now) + now) / 2 for core, now in after.items()) / whole)
        # By how much the speed rose or fell within the slice, of a core whose speed is known at both of its ends.
        known = [core for core in after if core in before]
        moved = sum(by_core[core] * (after[core] / before[core] - 1) for core in known)
        self.change.append(moved / sum(by_core[core] for core in known) if known else 0.0)
        self._rates = after

    def _measure(self, cores: list[int]) -> dict[int, float]:
        """Return the steps of one task alone in a second of CPU time, by core."""
        rates = {}
        for core in cores:
            with contextlib.suppress(OSError):  # the core has been taken from this process: let it run anywhere
                os.sched_setaffinity(0, [core])
            self.kernel(self.task.count // 10 + 1)  # fills the caches
            began = time.thread_time()
            self.kernel(self.task.count)
            rates[core] = self.task.count / (time.thread_time() - began)
        os.sched_setaffinity(0, self._cores)
        return rates

    def record(self) -> Baseline:
        """Return what was measured."""
        return Baseline(
            cores=self.task.cores,
            elapsed=self.elapsed,
            cpu=self.cpu,
            queued=self.queued,
            rate=self.rate,
            change=self.change,
        )


def main(fd: str, argument: str) -> None:
    """Measure the baseline of one trial; see the module's docstring."""
    die_with_parent()
    task = msgspec.json.decode(argument, type=BaselineTask)
    kernel, pauses = resolve_name(task.function), Pauses(int(fd))
    kernel(task.count)
    print("ready", flush=True)
    trial = Trial([int(pid) for pid in sys.stdin.readline().split()])
    measuring = Measuring(task, trial, pauses, kernel)
    print("measured", flush=True)
    while len(pauses) < MAX_PAUSES - 1:
        wait = max(random.uniform(0.5, 1.5) * MEAN_SLICE_SECONDS, min(measuring.paused, MAX_SLICE_SECONDS))
        if select.select([sys.stdin], [], [], wait)[0]:
            break
        measuring.pause()
    sys.stdin.readline()
    measuring.pause()
    print(msgspec.json.encode(measuring.record()).decode(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
