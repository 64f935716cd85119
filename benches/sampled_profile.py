"""Attaches `profiling.sampling` of CPython 3.15 to a program, and reads its profile stall by stall.

The profiler reports no stalls. For each stall, this module reads the part of the profile that was sampled during the stall.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from findings import Finding, of_stacks

if TYPE_CHECKING:
    from collections.abc import Iterator

IS_INSTALLED = sys.version_info >= (3, 15)
RATE = "1khz"
MAX_SECONDS_TO_START = 10.0
MAX_SECONDS_TO_END = 20.0
SECONDS_TO_ATTACH = 0.3
"""It attaches to the program soon after it has made its file."""
MAIN_THREAD = 1 << 5
"""A bit of a thread's status: ``_remote_debugging.THREAD_STATUS_MAIN_THREAD``."""


class Profiler:
    """Profiles a process until the process ends, in the context."""

    def __init__(self, pid: int, path: Path) -> None:
        self._path = path
        command = [sys.executable, "-m", "profiling.sampling", "attach", "-a", "-r", RATE]
        self._process = subprocess.Popen(
            [*command, "--binary", "-o", str(path), str(pid)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        try:  # it ends when the program has
            self._process.communicate(timeout=MAX_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGINT)
            self._process.communicate()

    def wait_until_it_samples(self) -> None:
        """Wait for its file, and a moment longer."""
        end = time.monotonic() + MAX_SECONDS_TO_START
        while not self._path.exists() and self._process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(SECONDS_TO_ATTACH)

    def cpu_time(self) -> float:
        """Return how much CPU time the profiler has used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Sample(NamedTuple):
    at: float
    """``time.monotonic()``"""
    stacks: dict[int, list[str]]
    """``file:function`` of each frame, innermost first, by thread."""
    main: int


class Samples:
    """What the profiler's file is replayed to."""

    def __init__(self) -> None:
        self.all: list[Sample] = []

    def collect(self, interpreters: Any, timestamps_us: list[int]) -> None:
        threads = [thread for interpreter in interpreters for thread in interpreter.threads]
        stacks = {
            thread.thread_id: [f"{frame.filename}:{frame.funcname.rpartition('.')[2]}" for frame in thread.frame_info]
            for thread in threads
        }
        main = next((thread.thread_id for thread in threads if thread.status & MAIN_THREAD), 0)
        self.all += [Sample(at / 1e6, stacks, main) for at in timestamps_us]


def of_profile(path: Path, stalls: list[tuple[float, float]]) -> Iterator[Finding]:
    """Return what most samples of each stall show of each thread. It is known when the profile is written: afterwards."""
    samples = Samples()
    with importlib.import_module("profiling.sampling.binary_reader").BinaryReader(str(path)) as reader:
        reader.replay_samples(samples)
    for due, came in stalls:
        some = [sample for sample in samples.all if due <= sample.at <= came]
        stacks: dict[int, Counter[tuple[str, ...]]] = {}
        for sample in some:
            for thread, stack in sample.stacks.items():
                stacks.setdefault(thread, Counter())[tuple(stack)] += 1
        hottest = {thread: list(counts.most_common(1)[0][0]) for thread, counts in stacks.items()}
        if some:
            yield of_stacks(came, None, hottest.pop(some[0].main, []), list(hottest.values()))
