"""How true the demo's ``work`` is beside a load that comes and goes: ``python benches/demo_noise.py --demos 20``.

Two processes compute for 3 s of every 7 s, while the demo runs again and again. The table has, for each case, how many
cells were unmarked, how many of those were within the limits, and their range.
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

from gilscope.demo.figures import DemoFigures
from gilscope.demo.findings import findings
from gilscope.records.read import read
from gilscope.records.result import Result

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
    found = sum(any(finding.name == FINDING for finding in findings(result)) for result in results)
    print(f"finding {FINDING}: {found} of {len(results)}")
    print(f"a demo took {min(seconds):.1f} to {max(seconds):.1f} s")


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
    report([result for result, _ in runs], [took for _, took in runs])


if __name__ == "__main__":
    main()
