"""Checks what gilscope sees of running services from outside, how soon, and at which cost; py-spy and profiling.sampling beside it.

    python benches/attach.py [--python PATH ...] [--only NAME] [--times 5] [--seconds 10]

The services are started without gilscope: stalling.py, whose stalls have known causes, and running_service.py. Each ``--python``
runs them once more; what runs this bench reads them all.

    causes      of the stalls over 100 ms, how many have the right cause and the right line
    shares      the share of the GIL in known duty cycles
    first       how long it takes until something is printed
    throughput  the requests of a busy service with an attachment, as a share of those without, by turns of 1 s
    cost        the CPU time of a second more of sampling at 1 kHz, with 10 threads, of gilscope and of the other tools
    often       1000 attachments to a busy service
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gilscope.attach.api import Attachment
from stalling import CASES, MIN_SECONDS_TO_JUDGE, truth_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from gilscope.records.stall import Stall
    from stalling import Done

    Command = Callable[[int, int], list[str]]
    Tool = Callable[[int, float], AbstractContextManager[None]]

GILSCOPE = "gilscope attach"
HERE = Path(__file__).parent
CYCLES = [(0.0, 1.0), (1.0, 9.0), (3.0, 7.0), (5.0, 5.0), (9.0, 1.0), (50.0, 450.0)]
"""Milliseconds with the GIL held and released."""
CPU_TIME_OF_PROCESS = 2
"""The lowest bits of the number of a process's CPU clock (linux/posix-timers.h)."""
SECONDS_TO_START = 1.0
"""A tool has begun to sample by then."""


class Options(NamedTuple):
    pythons: list[str]
    times: int
    seconds: float
    loops: list[str]
    case: str
    show: bool


class Service:
    """A process that was started without us."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pid = process.pid

    def line(self) -> str:
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise RuntimeError(f"the service has ended: {self.process.args!r}")
        return line

    def go_on(self) -> None:
        if self.process.stdin:
            self.process.stdin.write("go on\n")
            self.process.stdin.flush()


@contextmanager
def service(python: str, script: str, *arguments: str) -> Iterator[Service]:
    command = [python, str(HERE / script), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            running = Service(process)
            running.line()  # it is ready
            yield running
        finally:
            process.kill()


def causes(options: Options) -> None:
    """Print a row for each case, Python and loop."""
    print(f"  {'python':8}{'loop':9}{'case':28}{'stalls':>7}{'cause':>7}{'line':>6}{'unknown':>9}{'missed':>8}")
    judged = right = lines = missed = 0
    for python in options.pythons:
        version = version_of(python)
        for loop in options.loops:
            if loop == "uvloop" and not has(python, "uvloop"):
                continue
            for case in (case for case in CASES if options.case in case):
                stalls, done, began = attached(python, case, loop, options.times)
                rows = [verdict(stall, began, done) for stall in stalls if stall.duration >= MIN_SECONDS_TO_JUDGE]
                expected = sum(to - since >= MIN_SECONDS_TO_JUDGE for cause, _, since, to in done if is_stall(cause))
                good, lined = sum(row[0] for row in rows), sum(row[1] for row in rows)
                unknown = sum("unknown at" in row[2] for row in rows)
                lost = max(0, expected - len(rows))
                print(
                    f"  {version:8}{loop:9}{case:28}{len(rows):>7}{good:>7}{lined:>6}{unknown:>9}{lost:>8}", flush=True
                )
                for row in rows:
                    if options.show and not (row[0] and row[1]):
                        print("     ", row[2][:400])
                judged, right, lines, missed = judged + len(rows), right + good, lines + lined, missed + lost
    print(f"  of {judged} stalls: cause right {right}, line right {lines}; {missed} missed")


def is_stall(cause: str) -> bool:
    """Whether a case's own words for what it did are a cause that stalls the loop all the time."""
    return cause in {"blocked, computing", "blocked, waiting", "starved by a hog"}


def attached(python: str, case: str, loop: str, times: int) -> tuple[list[Stall], list[Done], float]:
    """Return the stalls that an attachment saw, what the service says that it did, and when the attachment began."""
    with service(python, "stalling.py", case, "--times", str(times), "--loop", loop) as running:
        with Attachment(running.pid) as attachment:
            time.sleep(0.2)
            running.go_on()
            done = json.loads(running.line())
            time.sleep(0.1)
        return attachment.stalls(0.0), done, attachment.began


def verdict(stall: Stall, began: float, done: Sequence[Done]) -> tuple[bool, bool, str]:
    """Return whether the cause is right, whether the line is, and a description."""
    cause, functions = truth_of(stall.start + began, stall.end + began, done)
    function = stall.culprit.function.split(".")[-1] if stall.culprit else None
    detail = f"{stall.duration:.3f} s {stall.cause} at {stall.culprit}, truth {cause} {functions}: {stall.evidence}"
    return stall.cause == cause, not functions or function in functions, detail


def shares(options: Options) -> None:
    for python in options.pythons:
        for busy, free in CYCLES:
            with service(python, "running_service.py", "cycle", str(busy), str(free)) as running:
                with Attachment(running.pid) as attachment:
                    before = attachment.snapshot()
                    time.sleep(min(options.seconds, 4))
                    after = attachment.snapshot()
                running.go_on()
                frees = json.loads(running.line())
            since, until = (attachment.began + snapshot.elapsed for snapshot in (before, after))
            free_for = sum(max(0.0, min(stop, until) - max(start, since)) for start, stop in frees)
            truth = 1 - free_for / (until - since)
            read = ((after.held or 0) - (before.held or 0)) / (until - since)
            print(
                f"  {version_of(python):8}{busy:5} ms in {busy + free:5} ms: truth {truth:.3f} gilscope {read:.3f} "
                f"difference {read - truth:+.3f}",
                flush=True,
            )


def first(options: Options) -> None:
    for python in options.pythons:
        with busy(python) as (running, _):
            for subcommand in ("attach", "top"):
                took = sorted(until_first_output(subcommand, running.pid) for _ in range(max(5, options.times)))
                print(
                    f"  {version_of(python):8}gilscope {subcommand}: first output after {took[0]:.2f} to {took[-1]:.2f} s",
                    flush=True,
                )


def until_first_output(subcommand: str, pid: int) -> float:
    began = time.monotonic()
    command = [sys.executable, "-m", "gilscope", subcommand, str(pid)]
    reader, writer = pty.openpty()
    with subprocess.Popen(command, stdin=writer, stdout=writer, stderr=writer) as process:
        os.close(writer)
        os.read(reader, 1)
        took = time.monotonic() - began
        process.kill()
    os.close(reader)
    return took


@contextmanager
def busy(python: str, threads: int = 10) -> Iterator[tuple[Service, Callable[[], int]]]:
    """Run a service that is busy; yield it and a function that returns the number of its requests so far."""
    with tempfile.TemporaryDirectory() as folder:
        counter = Path(folder) / "counter"
        with service(python, "running_service.py", "requests", str(counter), "--threads", str(threads)) as running:
            with apart(running.pid):
                yield running, lambda: int.from_bytes(counter.read_bytes(), sys.byteorder)


@contextmanager
def apart(pid: int) -> Iterator[None]:
    """Give the service a core, and the others to this process and to the tools that it starts: they are measured, not the scheduler."""
    cores = os.sched_getaffinity(0)
    own, *others = sorted(cores)
    if not others:
        yield
        return
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {own})
    os.sched_setaffinity(0, others)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def throughput(options: Options) -> None:
    """Pairs of a second with and a second without, in random order: the mean of the ratio and its standard error.

    Also by the CPU time of the service, which other programs of the machine take nothing away from.
    """
    for python in options.pythons:
        with busy(python) as (running, count):
            for name, tool in tools(python).items():
                pairs = [pair(count, tool, running.pid) for _ in range(max(4, int(options.seconds)))]
                by_clock, by_cpu_time = zip(*pairs, strict=True)
                print(
                    f"  {version_of(python):8}{name:24} requests with it / without: {described(by_clock)} a second, "
                    f"{described(by_cpu_time)} a second of the service's CPU time ({len(pairs)} pairs)",
                    flush=True,
                )


def described(ratios: Sequence[float]) -> str:
    return f"{statistics.mean(ratios):.4f} +- {statistics.stdev(ratios) / len(ratios) ** 0.5:.4f}"


def pair(count: Callable[[], int], tool: Tool, pid: int) -> tuple[float, float]:
    """Return the ratios of the requests with a tool to those without: in a second, and in a second of CPU time."""
    rates = {}
    for with_tool in random.sample([True, False], 2):
        if with_tool:
            with tool(pid, 1 + 2 * SECONDS_TO_START):
                rates[True] = counted(count, pid)
        else:
            rates[False] = counted(count, pid)
    return rates[True][0] / rates[False][0], rates[True][1] / rates[False][1]


def counted(count: Callable[[], int], pid: int) -> tuple[float, float]:
    """Return the requests in a second, and in a second of CPU time."""
    spent = Spent()
    with spent.counted(count, pid):
        time.sleep(1)
    return spent.requests / spent.seconds, spent.requests / spent.used


def tools(python: str) -> dict[str, Tool]:
    """Return what can sample a process of this Python here, at 1 kHz."""
    others = {name: partial(beside, command) for name, command in commands(python).items() if name != GILSCOPE}
    return {GILSCOPE: gilscope_in_process, **others}


def commands(python: str) -> dict[str, Command]:
    """Return the command lines that sample a process of this Python at 1 kHz, by the process and a number of seconds."""
    found: dict[str, Command] = {GILSCOPE: gilscope_command}
    if py_spy := shutil.which("py-spy", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"):
        found["py-spy --gil"] = partial(py_spy_command, py_spy)
    if has(python, "profiling.sampling"):
        found["profiling.sampling"] = partial(profiling_command, python)
    return found


def gilscope_command(pid: int, seconds: int) -> list[str]:
    return [sys.executable, "-m", "gilscope", "attach", str(pid), "--seconds", str(seconds)]


def py_spy_command(py_spy: str, pid: int, seconds: int) -> list[str]:
    output = ["-f", "raw", "-o", "/dev/null"]
    return [py_spy, "record", "--gil", "-r", "1000", *output, "-d", str(seconds), "-p", str(pid)]


def profiling_command(python: str, pid: int, seconds: int) -> list[str]:
    mode = ["-a", "--mode", "gil", "-r", "1khz", "--collapsed", "-o", "/dev/null"]
    return [python, "-m", "profiling.sampling", "attach", *mode, "-d", str(seconds), str(pid)]


@contextmanager
def gilscope_in_process(pid: int, _seconds: float) -> Iterator[None]:
    with Attachment(pid):
        yield


@contextmanager
def beside(command: Command, pid: int, seconds: float) -> Iterator[None]:
    """Let another tool sample meanwhile."""
    with subprocess.Popen(
        command(pid, round(seconds)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        time.sleep(SECONDS_TO_START)
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)


def cost(options: Options) -> None:
    """The CPU time of a long run less that of a short one: what starting and reporting take is in both."""
    short, long = 2, 2 + max(4, round(options.seconds))
    for python in options.pythons:
        with busy(python) as (running, _):
            for name, command in commands(python).items():
                used = [cpu_time(command(running.pid, seconds)) for seconds in (short, long)]
                share = (used[1] - used[0]) / (long - short)
                print(f"  {version_of(python):8}{name:24}{100 * share:5.1f} % of a core", flush=True)


def cpu_time(command: list[str]) -> float:
    """Run a command; return the CPU time that it took."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return usage.ru_utime + usage.ru_stime


def often(options: Options) -> None:
    """Groups of attachments of some milliseconds each, by turns with as much time without any."""
    for python in options.pythons:
        with busy(python) as (running, count):
            done = {True: Spent(), False: Spent()}
            for _ in range(100):
                before = done[True].seconds
                with done[True].counted(count, running.pid):
                    for _ in range(10):
                        with Attachment(running.pid):
                            time.sleep(0.01)
                with done[False].counted(count, running.pid):
                    time.sleep(done[True].seconds - before)
            running.go_on()
            status = running.process.wait(timeout=30)
            by_clock = done[True].requests / done[True].seconds / (done[False].requests / done[False].seconds)
            by_cpu_time = done[True].requests / done[True].used / (done[False].requests / done[False].used)
            print(
                f"  {version_of(python):8}1000 attachments in {done[True].seconds:.0f} s: requests with them / without: "
                f"{by_clock:.4f} a second, {by_cpu_time:.4f} a second of the service's CPU time; the service has ended with "
                f"status {status}",
                flush=True,
            )


class Spent:
    """What a service has done in stretches of time."""

    def __init__(self) -> None:
        self.requests = 0
        self.seconds = 0.0
        self.used = 0.0
        """CPU time."""

    @contextmanager
    def counted(self, count: Callable[[], int], pid: int) -> Iterator[None]:
        clock = ~pid << 3 | CPU_TIME_OF_PROCESS
        before, since, used = count(), time.monotonic(), time.clock_gettime(clock)
        yield
        self.requests += count() - before
        self.seconds += time.monotonic() - since
        self.used += time.clock_gettime(clock) - used


def version_of(python: str) -> str:
    code = "import sys; print('{}.{}.{}'.format(*sys.version_info))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def has(python: str, module: str) -> bool:
    code = f"import importlib.util as i; assert i.find_spec({module!r})"
    return not subprocess.run([python, "-c", code], capture_output=True, check=False).returncode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", help="runs the services; repeatable (default: this one)")
    parser.add_argument("--only", default="")
    parser.add_argument("--times", type=int, default=5, help="how often each case stalls its loop")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--loops", default="asyncio,uvloop")
    parser.add_argument("--case", default="", help="of causes: those whose names contain this")
    parser.add_argument("--show", action="store_true", help="show the stalls whose cause or line is not right")
    given = parser.parse_args()
    options = Options(
        given.python or [sys.executable], given.times, given.seconds, given.loops.split(","), given.case, given.show
    )
    for section in (causes, shares, first, throughput, cost, often):
        if given.only in section.__name__:
            print(section.__name__)
            section(options)


if __name__ == "__main__":
    main()
