"""Compares gilscope with the stall watchdogs that projects write by hand, and on 3.15 with `profiling.sampling`.

    python benches/watchdogs.py [--stalls 10] [--tool NAME] [--case NAME] [--idle 5] [--show]

The cases are those of stalling.py. Of each stall over 100 ms it is noted whether a tool reported it, whether it did so while
the stall lasted (as another process saw it), which cause it named, and whether the line that it names is the right one: the
innermost line of the thread that it accuses. "Line shown" also counts the right line among all other stacks in its output.
The last column is the CPU time beside a service whose loop sleeps. The output is a table for docs/watch.md.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import nullcontext
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import sampled_profile
import stalling
from findings import Finding, of_dumps, of_json, of_log
from handwritten import HEARTBEAT, WATCHDOGS
from stall_log import Arrival, Tail

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CASES = [
    "a hog: C call",
    "a hog: json.loads",
    "a C call in a coroutine",
    "json.loads in a coroutine",
    "Python in a coroutine",
    "time.sleep in a coroutine",
    "turns of 16 threads",
    "stopped",
    "gc on the loop's thread",
    "gc on another thread",
]
PROFILER = "`profiling.sampling`"
MIN_SECONDS_BEFORE_END = 0.02
"""What came later than this before a stall's end may have come when the GIL was free again."""
MAX_SECONDS_AFTER_END = 0.08
MIN_SECONDS_IN_COMMON = 0.03
SECONDS_TO_SETTLE = 4.0
"""A service runs for days: its cost is measured once a tool has begun to sample as it goes on to."""
PAUSE = 0.1


class Stalled(NamedTuple):
    """A stall, as the program itself saw it: when the heartbeat was due and when it came, and the truth about it."""

    due: float
    came: float
    cause: str
    functions: Sequence[str]


class Row(NamedTuple):
    """A tool's findings about one stall."""

    stalled: Stalled
    finding: Finding | None

    @property
    def told(self) -> str:
        due, came, cause, functions = self.stalled
        truth = f"{came - due:.3f} s, {cause} in {' or '.join(functions)}"
        if self.finding is None:
            return f"{truth}; no report"
        at, said, named, *_ = self.finding
        return f"{truth}; {said} in {named}, {at - due:.3f} s after it began"

    @property
    def is_cause_right(self) -> bool:
        return self.finding is not None and self.finding.cause == self.stalled.cause

    @property
    def is_line_right(self) -> bool:
        functions = self.stalled.functions
        return self.finding is not None and (not functions or self.finding.named in functions)

    @property
    def is_line_shown(self) -> bool:
        functions = self.stalled.functions
        return self.is_line_right or (self.finding is not None and not self.finding.shown.isdisjoint(functions))

    @property
    def is_in_time(self) -> bool:
        return self.finding is not None and self.finding.at < self.stalled.came - MIN_SECONDS_BEFORE_END


def program(tool: str, case: str, path: Path, stalls: int, idle: float) -> None:
    """Be the watched program. Print a line of JSON for each stall; or sleep, and print the share of a CPU that it took."""
    beats: list[tuple[float, float]] = []
    cyclic: list[Any] = [[index] for index in range(1_200_000)] if "gc" in case else []
    for item in cyclic:
        item.append(item)
    gc.disable()  # so that it is certain which stalls are its
    stalling.TEXT = f"[{stalling.TEXT}, {stalling.TEXT}]"  # without it, parsing is faster

    async def main() -> None:
        watchdog = WATCHDOGS[tool](path)
        loop = asyncio.get_running_loop()

        def beat(due: float) -> None:
            beats.append((due, time.monotonic()))
            watchdog.beat()
            schedule()

        def schedule() -> None:
            loop.call_later(HEARTBEAT, beat, time.monotonic() + HEARTBEAT)

        if stalls or watchdog.needs_heartbeat:
            schedule()
        await asyncio.sleep(PAUSE)
        for _ in range(stalls):
            await stalling.CASES[case]()
            await asyncio.sleep(PAUSE)
        if not stalls:
            await asyncio.sleep(SECONDS_TO_SETTLE)
        used, began = time.process_time(), time.monotonic()
        await asyncio.sleep(idle)
        print(json.dumps([(time.process_time() - used) / (time.monotonic() - began), watchdog.began]), flush=True)
        watchdog.stop()

    print(json.dumps(threading.get_ident()), flush=True)
    sys.stdin.readline()  # when a profiler is there
    asyncio.run(main())
    for due, came in beats:
        if came - due >= stalling.MIN_SECONDS_TO_JUDGE:
            print(json.dumps(Stalled(due, came, *stalling.truth_of(due, came))))


class Outcome(NamedTuple):
    rows: list[Row]
    cost: float
    """The share of a CPU that the program took in the idle time, with the profiler."""
    failure: str | None


def run(tool: str, case: str, stalls: int, idle: float) -> Outcome:
    """Run one case with one tool."""
    watchdog = "nothing" if tool == PROFILER else tool
    command = [sys.executable, __file__, "--program", watchdog, "--case", case]
    command += ["--stalls", str(stalls), "--idle", str(idle)]
    with tempfile.TemporaryDirectory() as folder:
        path, profile = Path(folder) / "found", Path(folder) / "profile"
        errors = Path(folder) / "errors"
        with (
            Tail(path) as tail,
            errors.open("w") as stderr,
            subprocess.Popen(
                [*command, "--path", str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True
            ) as child,
        ):
            assert child.stdin is not None  # noqa: S101 - for mypy
            assert child.stdout is not None  # noqa: S101
            loop = json.loads(child.stdout.readline())
            profiler = sampled_profile.Profiler(child.pid, profile) if tool == PROFILER else None
            with profiler or nullcontext():
                if profiler:
                    profiler.wait_until_it_samples()
                used = profiler.cpu_time() if profiler else 0.0
                started = time.monotonic()
                child.stdin.write("\n")
                child.stdin.flush()
                out = child.stdout.readline()  # the idle time is over
                profilers = (profiler.cpu_time() - used) / (time.monotonic() - started) if profiler else 0.0
                rest = child.stdout.read()
        failure = f"status {child.returncode}: {errors.read_text().strip()[-300:]}" if child.returncode else None
        cost, began = json.loads(out or "[0, 0]")
        stalled = [Stalled(*json.loads(line)) for line in rest.splitlines()]
        if tool == PROFILER:
            findings = list(sampled_profile.of_profile(profile, [(it.due, it.came) for it in stalled]))
        else:
            findings = list(read(tool, tail.arrivals, loop, began))
    return Outcome(list(matched(stalled, findings)), cost + profilers, failure)


def read(tool: str, arrivals: list[Arrival], loop: int, began: float) -> Iterator[Finding]:
    if tool == "gilscope's log":
        return of_log(arrivals, began)
    if "faulthandler" in tool:
        return of_dumps(arrivals, loop)
    return of_json(arrivals)


def matched(stalls: list[Stalled], findings: list[Finding]) -> Iterator[Row]:
    """Give each stall the report that is about most of it; or, if reports do not say, the first that came in time."""
    for stalled in stalls:
        about = [(seconds_in_common(it.span, stalled), it) for it in findings if it.span]
        some = [
            it for seconds, it in sorted(about, key=itemgetter(0), reverse=True) if seconds >= MIN_SECONDS_IN_COMMON
        ]
        some += [it for it in findings if not it.span and stalled.due < it.at <= stalled.came + MAX_SECONDS_AFTER_END]
        yield Row(stalled, some[0] if some else None)


def seconds_in_common(span: tuple[float, float], stalled: Stalled) -> float:
    return min(span[1], stalled.came) - max(span[0], stalled.due)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stalls", type=int, default=10, help="of each case")
    parser.add_argument("--tool", default="", help="only tools with this in their name")
    parser.add_argument("--case", default="", help="only cases with this in their name")
    parser.add_argument("--idle", type=float, default=5.0, help="seconds to measure the cost in")
    parser.add_argument("--show", action="store_true", help="show the stalls whose cause or line is not right")
    parser.add_argument("--program", help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.program:
        program(options.program, options.case, options.path, options.stalls, options.idle)
        return
    tools = [*WATCHDOGS, *([PROFILER] if sampled_profile.IS_INSTALLED else [])]
    base = run("nothing", "idle", 0, options.idle).cost
    print(f"CPython {sys.version.split()[0]}\n")
    print("| tool | stalls | reported | while it lasted | cause right | line right | line shown | cost |")
    print("|---|---|---|---|---|---|---|---|")
    faults = []
    for tool in tools[1:]:
        if options.tool not in tool:
            continue
        rows = []
        for case in CASES:
            if options.case in case:
                outcome = run(tool, case, options.stalls, 0.0)
                some = outcome.rows[: options.stalls]  # turns make several stalls each time
                rows += some
                faults += [f"{tool}, {case}: {outcome.failure}"] * bool(outcome.failure)
                for row in some if options.show else []:
                    if not (row.is_cause_right and row.is_line_right and row.is_in_time):
                        faults.append(f"{tool}, {case}: {row.told}")
        cost = run(tool, "idle", 0, options.idle).cost - base
        print(f"| {tool} | {len(rows)} | {figures(rows)} | {cost:.1%} |", flush=True)
    print("\n" + "\n".join(faults))


def figures(rows: list[Row]) -> str:
    names_causes = any(row.finding and row.finding.cause for row in rows)
    counts: list[object] = [
        sum(row.finding is not None for row in rows),
        sum(row.is_in_time for row in rows),
        sum(row.is_cause_right for row in rows) if names_causes else "names none",
        sum(row.is_line_right for row in rows),
        sum(row.is_line_shown for row in rows),
    ]
    return " | ".join(map(str, counts))


if __name__ == "__main__":
    main()
