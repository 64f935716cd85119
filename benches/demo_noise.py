"""How true the demo's ``work`` is beside a load that comes and goes: ``python benches/demo_noise.py --demos 20``.

Two processes compute for 3 s of every 7 s, while the demo runs again and again. The table has, for each case, how many
cells were unmarked, how many of those were within the limits, and their range. The lines below it are what must hold; the
exit status is 1 if one of them does not.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gilscope.demo.figures import DemoFigures
from gilscope.demo.findings import findings
from gilscope.records.read import read
from gilscope.records.result import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

LOAD_PROCESSES = 2
LOAD_SECONDS = 3.0
PERIOD_SECONDS = 7.0
LIMITS = {
    "thread/held": (0.9, 1.15),
    "thread/python": (0.9, 1.15),
    "inline/python": (0.9, 1.15),
    "inline/held": (0.9, 1.15),
    "inline/released": (0.9, 1.15),
    "thread/released": (1.7, 2.2),
    "process/released": (1.7, 2.2),
    "tokio/released": (1.7, 2.2),
    "bridge/released": (1.7, 2.2),
}
"""The work that is true on two cores."""
FINDING = "one_gil_does_the_work_of_one"
MAX_WORK_OF_A_CORE = 1.1
ONE_GIL = ("thread/held", "thread/python")
MIN_SHARE_WITHIN_LIMITS = 0.95
MAX_SECONDS = 45.0


def load(parent: int) -> None:
    """Compute for some seconds of every period, for as long as ``parent`` runs."""
    while os.getppid() == parent:
        end = time.monotonic() + LOAD_SECONDS
        while time.monotonic() < end:
            pass
        time.sleep(PERIOD_SECONDS - LOAD_SECONDS)


def demo(arguments: list[str]) -> tuple[Result, float]:
    """Run the demo once; return its result and how long it took."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "demo.json")
        began = time.monotonic()
        command = [sys.executable, "-m", "gilscope", "demo", "--json", str(file), *arguments]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        took = time.monotonic() - began
        result = read(file)
    if not isinstance(result, Result):
        raise TypeError(f"{type(result).__name__} is not the result of a demo")
    return result, took


def report(results: list[Result], seconds: list[float]) -> None:
    print(f"{'case':20} cells unmarked within limits   lowest highest  above cores x {MAX_WORK_OF_A_CORE}")
    for case in [trial.case for trial in results[0].trials]:
        figures = [figure for result in results if (figure := DemoFigures(result).work(case)) is not None]
        sure = [figure.value for figure in figures if not figure.doubt]
        impossible = sum(figure.value > MAX_WORK_OF_A_CORE * figure.cores for figure in figures)
        low, high = LIMITS.get(case, (0.0, MAX_WORK_OF_A_CORE * results[0].plan.concurrency))
        within = f"{sum(low <= value <= high for value in sure)}" if case in LIMITS else "-"
        ends = f"{min(sure):6.2f}  {max(sure):6.2f}" if sure else f"{'-':>6}  {'-':>6}"
        print(f"{case:20} {len(figures):5} {len(sure):8} {within:>13}   {ends}  {impossible}")
    print(f"a demo took {min(seconds):.1f} to {max(seconds):.1f} s")


def lines(results: list[Result], seconds: list[float]) -> Iterator[tuple[bool, str]]:
    """Yield whether each line that must hold does, and the line."""
    figures = [
        (trial.case, figure)
        for result in results
        for trial in result.trials
        if (figure := DemoFigures(result).work(trial.case)) is not None
    ]
    impossible = sum(figure.value > MAX_WORK_OF_A_CORE * figure.cores for _, figure in figures)
    yield not impossible and bool(figures), f"work above cores x {MAX_WORK_OF_A_CORE}: {impossible} of {len(figures)}"
    sure = [(case, figure.value) for case, figure in figures if not figure.doubt]
    one = [LIMITS[case][0] <= value <= LIMITS[case][1] for case, value in sure if case in ONE_GIL]
    low, high = LIMITS[ONE_GIL[0]]
    yield (
        bool(one) and sum(one) >= MIN_SHARE_WITHIN_LIMITS * len(one),
        f"{' and '.join(ONE_GIL)} within {low} to {high}: {sum(one)} of {len(one)} unmarked",
    )
    least = LIMITS["thread/released"][0]
    two = [value > least for case, value in sure if case == "thread/released"]
    yield all(two), f"thread/released above {least}: {sum(two)} of {len(two)} unmarked"
    found = sum(any(finding.name == FINDING for finding in findings(result)) for result in results)
    yield found == len(results), f"finding {FINDING}: {found} of {len(results)}"
    yield max(seconds) < MAX_SECONDS, f"under {MAX_SECONDS:g} s: the longest demo took {max(seconds):.1f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demos", type=int, default=20)
    parser.add_argument("--no-load", action="store_true", help="do not run the load")
    parser.add_argument("arguments", nargs="*", help="further arguments of `gilscope demo`, after --")
    asked = parser.parse_args()
    loads = [
        multiprocessing.Process(target=load, args=[os.getpid()], daemon=True)
        for _ in range(0 if asked.no_load else LOAD_PROCESSES)
    ]
    for process in loads:
        process.start()
    try:
        runs = [demo(asked.arguments) for _ in range(asked.demos)]
    finally:
        for process in loads:
            process.kill()
    results, seconds = [result for result, _ in runs], [took for _, took in runs]
    report(results, seconds)
    judged = list(lines(results, seconds))
    for held, line in judged:
        print(f"{'held' if held else 'NOT HELD'}: {line}")
    sys.exit(not all(held for held, _ in judged))


if __name__ == "__main__":
    main()
