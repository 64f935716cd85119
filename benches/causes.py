"""Checks the causes and lines that `gilscope.Watch` reports, with scripted programs whose stalls have a known cause.

    python benches/causes.py [--stalls 25] [--only NAME] [--loops asyncio,uvloop] [--load idle,busy]

Each case stalls a loop repeatedly, in a process of its own, and records when. A stall over 100 ms is compared with what
overlapped it most: its cause is right, unknown or wrong, and its line is right if it is in the function that caused it, or
in the caller if the hold continues there. With the load "busy", one spinning process per core runs beside the case. The
case "idle" stalls nothing: every stall that is reported for it is a false one, unless its cause is "no CPU".
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import gilscope
from stalling import CASES, MIN_SECONDS_TO_JUDGE, loop_factory, prepare, repeat, truth_of

if TYPE_CHECKING:
    from gilscope.records.stall import Stall


def child(name: str, times: int) -> None:
    """Stall a loop, and print a line of JSON for each stall that was reported."""
    stalls: list[Stall] = []
    kept = prepare(name)
    watch = gilscope.Watch(on_stall=stalls.append)
    with watch, asyncio.Runner(loop_factory=loop_factory(os.environ.get("LOOP", ""))) as runner:
        runner.run(repeat(name, times))
    del kept
    for stall in stalls:
        if stall.duration >= MIN_SECONDS_TO_JUDGE:
            print(json.dumps(verdict(stall, watch.began)))


def verdict(stall: Stall, began: float) -> dict[str, object]:
    cause, functions = truth_of(stall.start + began, stall.end + began)
    function = stall.culprit.function.split(".")[-1] if stall.culprit else None
    return {
        "truth": cause,
        "reported": stall.cause,
        "line": not functions or function in functions,
        "detail": f"{stall.duration:.3f} {stall.cause} at {stall.culprit}, truth {cause} {functions}: {stall.evidence}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stalls", type=int, default=10)
    parser.add_argument("--only", default="")
    parser.add_argument("--loops", default="asyncio,uvloop")
    parser.add_argument("--load", default="idle,busy")
    parser.add_argument("--show", action="store_true", help="show the stalls whose cause or line is not right")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.stalls)
        return
    right = lines = wrong = unknown = judged = 0
    print(f"{'loop':8}{'beside':8}{'case':28}{'stalls':>7}{'cause':>7}{'line':>6}{'unknown':>9}{'wrong':>7}")
    for load in options.load.split(","):
        spinners = []
        if load == "busy":
            spinners = [
                subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)
            ]
        try:
            for loop in options.loops.split(","):
                for name in CASES:
                    if options.only not in name:
                        continue
                    rows = _run(name, options.stalls, loop)
                    good = sum(row["truth"] == row["reported"] for row in rows)
                    lined = sum(bool(row["line"]) for row in rows)
                    lost = sum(row["reported"] == "unknown" for row in rows)
                    print(
                        f"{loop:8}{load:8}{name:28}{len(rows):>7}{good:>7}{lined:>6}{lost:>9}{len(rows) - good - lost:>7}",
                        flush=True,
                    )
                    for row in rows:
                        if options.show and (row["truth"] != row["reported"] or not row["line"]):
                            print("   ", str(row["detail"])[:600])
                    judged, right, lines = judged + len(rows), right + good, lines + lined
                    unknown, wrong = unknown + lost, wrong + len(rows) - good - lost
        finally:
            for spinner in spinners:
                spinner.send_signal(signal.SIGKILL)
                spinner.wait()
    print(
        f"of {judged} stalls over {MIN_SECONDS_TO_JUDGE * 1000:.0f} ms: cause right {right}, line right {lines}, unknown {unknown}, wrong {wrong}"
    )


def _run(name: str, stalls: int, loop: str) -> list[dict[str, object]]:
    done = subprocess.run(
        [sys.executable, __file__, "--child", name, "--stalls", str(stalls)],
        env={**os.environ, "LOOP": loop},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"    {name} failed with status {done.returncode}:\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    main()
