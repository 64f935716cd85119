"""What runs in the process that measures the baseline of a trial; see :mod:`gilscope.trial.baseline`.

It writes its id when it is ready. The first line that it reads has the ids of the trial's processes; it answers when it has
measured the first slice. The second line ends the trial; the answer is a :class:`gilscope.records.result.Baseline`.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import select
import signal
import socket
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, NamedTuple, TextIO

import msgspec

from gilscope.countdown import CALLS_BEFORE_SPECIALIZING
from gilscope.isolated.supervise import die_with_parent
from gilscope.records.result import Baseline
from gilscope.trial.clock import MAX_PAUSES
from gilscope.trial.cpu_time import times, used_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilscope.trial.clock import Pauses

MEAN_SLICE_SECONDS = 0.1
"""How long the trial runs between two pauses, on average. Random, so that it does not fall into step with the trial."""
MAX_PLANNED_PAUSES = MAX_PAUSES // 2
"""In a trial of many minutes the pauses are further apart, and this is how many there are: a trial can take longer than planned."""
MAX_SLICE_SECONDS = 0.3
"""On a busy machine a pause lasts longer, and the next slice lasts as long as the pause did, but no longer than this."""
MAX_CORES = 4
"""Measure the baseline on at most this many cores in one pause: those that the trial used most."""
MIN_SHARE_OF_THE_BUSIEST = 0.3
"""A thread computes if it used this share of the CPU time of the thread that used most. On a busy machine that is little."""
_INTEGER, _FLOAT = struct.Struct("q"), struct.Struct("d")
"""What a helper is asked, and what it answers."""


def mean_slice_seconds(seconds: float) -> float:
    """Return how long a trial that is planned to take ``seconds`` runs between two pauses, on average."""
    return max(MEAN_SLICE_SECONDS, seconds / MAX_PLANNED_PAUSES)


class BaselineTask(msgspec.Struct, frozen=True, kw_only=True):
    """The task whose baseline is measured, by the dotted name of its kernel."""

    function: str
    count: int
    """The steps of one slice of the baseline."""
    cores: float
    """How many cores the trial keeps busy if nobody else uses them."""


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
            cpu, queued, core = times(thread)
        except (FileNotFoundError, ProcessLookupError):  # the thread has just ended
            return None
        key = (thread.parts[2], thread.name)
        cpu_before, queued_before = self._before.get(key, (0, 0))
        self._before[key] = cpu, queued
        return Used((cpu - cpu_before) / 1e9, (queued - queued_before) / 1e9, core)


class Kernel:
    """The task, which this process can run alone."""

    def __init__(self, task: BaselineTask) -> None:
        self._kernel: Callable[[int], int] = resolve_name(task.function)
        self._count = task.count
        self._cores = os.sched_getaffinity(0)
        for _ in range(CALLS_BEFORE_SPECIALIZING):
            self._kernel(1)

    def rate(self, core: int) -> float:
        """Return the steps of one task in a second of CPU time on ``core``."""
        with contextlib.suppress(OSError):  # the core has been taken from this process: let it run anywhere
            os.sched_setaffinity(0, [core])
        self._kernel(self._count // 10 + 1)  # fills the caches
        began, moment = time.thread_time(), time.perf_counter()
        self._kernel(self._count)
        spent = time.thread_time() - began or time.perf_counter() - moment  # the CPU clock of gVisor may not have moved
        rate = self._count / spent
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, self._cores)
        return rate


class Helper:
    """A forked process that runs the task while this process does."""

    def __init__(self, kernel: Kernel) -> None:
        ours, theirs = socket.socketpair()
        if os.fork() == 0:
            try:
                ours.close()
                die_with_parent()
                while core := theirs.recv(_INTEGER.size):
                    theirs.send(_FLOAT.pack(kernel.rate(*_INTEGER.unpack(core))))
            finally:
                os._exit(0)
        theirs.close()
        self._socket = ours

    def begin(self, core: int) -> None:
        """Run the task on ``core``."""
        self._socket.send(_INTEGER.pack(core))

    def rate(self) -> float:
        """Return the steps of the task in a second of CPU time when the task has ended."""
        return float(_FLOAT.unpack(self._socket.recv(_FLOAT.size))[0])


class Rates(NamedTuple):
    """The steps of the task in a second of CPU time on one core: alone, and while other cores run it as well."""

    alone: float
    together: float


@dataclass
class Measuring:
    """The slices of a trial, as far as it has run."""

    task: BaselineTask
    trial: Trial
    pauses: Pauses
    kernel: Kernel
    helpers: list[Helper]
    elapsed: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    queued: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    change: list[float] = field(default_factory=list)
    together: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rates = self._measure(sorted(os.sched_getaffinity(0))[:MAX_CORES])
        self._resumed = time.perf_counter()
        self.paused = 0.0
        """How long the last pause lasted."""

    def pause(self) -> None:
        """End a slice of the trial: stop the trial, measure one task alone on the cores that it used, and let it go on."""
        began = time.perf_counter()
        with self.trial.stopped():
            elapsed, used = began - self._resumed, self.trial.used()
            least = MIN_SHARE_OF_THE_BUSIEST * max((thread.cpu for thread in used), default=0.0)
            computing = [thread for thread in used if thread.cpu > least]
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
        means = {
            core: [(one + now) / 2 for one, now in zip(before.get(core, rates), rates, strict=True)]
            for core, rates in after.items()
        }
        self.rate.append(sum(by_core[core] * alone for core, (alone, _) in means.items()) / whole)
        self.together.append(sum(by_core[core] * together for core, (_, together) in means.items()) / whole)
        # By how much the speed rose or fell within the slice, of a core whose speed is known at both of its ends.
        known = [core for core in after if core in before]
        moved = sum(by_core[core] * (after[core].alone / before[core].alone - 1) for core in known)
        self.change.append(moved / sum(by_core[core] for core in known) if known else 0.0)
        self._rates = after

    def _measure(self, cores: list[int]) -> dict[int, Rates]:
        """Return how fast the task is on each of the ``cores``, of which the trial used the last ones most."""
        alone = {core: self.kernel.rate(core) for core in cores}
        *others, first = cores
        helping = list(zip(self.helpers, others[::-1], strict=False))
        if not helping:
            return {core: Rates(rate, rate) for core, rate in alone.items()}
        for helper, core in helping:
            helper.begin(core)
        together = {first: self.kernel.rate(first), **{core: helper.rate() for helper, core in helping}}
        return {core: Rates(rate, together.get(core, rate)) for core, rate in alone.items()}

    def record(self) -> Baseline:
        """Return what was measured."""
        return Baseline(
            task=self.task.function,
            cores=self.task.cores,
            elapsed=self.elapsed,
            cpu=self.cpu,
            queued=self.queued,
            rate=self.rate,
            change=self.change,
            together=self.together,
        )


def serve(task: BaselineTask, mean_slice: float, pauses: Pauses, parent: int, requests: int, answers: int) -> None:
    """Measure the baseline of the trial in the process ``parent``, and end with it. See the module's docstring."""
    with os.fdopen(requests) as reader, os.fdopen(answers, "w") as writer:

        def answer(line: str) -> None:
            print(line, file=writer, flush=True)

        # A worker that the trial forked keeps the pipe open after the trial's end.
        watched: list[TextIO | int] = [reader]
        with contextlib.suppress(OSError):  # Linux before 5.3, and some sandboxes
            watched.append(os.pidfd_open(parent))
        kernel = Kernel(task)
        helpers = [Helper(kernel) for _ in range(min(math.ceil(task.cores), MAX_CORES) - 1)]
        answer(str(os.getpid()))
        if reader not in select.select(watched, [], [])[0] or not (pids := reader.readline()):
            return
        trial = Trial([int(pid) for pid in pids.split()])
        measuring = Measuring(task, trial, pauses, kernel, helpers)
        answer("measured")
        while len(pauses) < MAX_PAUSES - 1:
            wait = max(random.uniform(0.5, 1.5) * mean_slice, min(measuring.paused, MAX_SLICE_SECONDS))
            if select.select(watched, [], [], wait)[0]:
                break
            measuring.pause()
        if reader not in select.select(watched, [], [])[0] or not reader.readline():
            return
        measuring.pause()
        answer(msgspec.json.encode(measuring.record()).decode())
