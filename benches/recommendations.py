"""Compare some callables, and print each recommendation beside the right one.

``python benches/recommendations.py [NAME...]`` takes about 15 s for each callable. Exit status 1: a recommendation is wrong.
"""

from __future__ import annotations

import json
import os
import sys
import time
import zlib
from typing import Any

import gilscope
from gilscope.comparison.recommendation import recommend
from gilscope.trial.strategies import unavailable

POOLS = {"process"} if unavailable("interpreter") else {"process", "interpreter"}


def twenty_microseconds(n: int) -> int:
    """Add up some numbers, for about 20 us."""
    return sum(range(n))


def hundred_megabytes() -> bytes:
    """Return 100 MB, after some work."""
    return bytes(range(250)) * 400_000


def ten_megabytes_of_json() -> str:
    rows = [{"id": i, "name": f"name {i}", "values": [i * 1.5, None, True], "of": {"a": "b"}} for i in range(120_000)]
    return json.dumps(rows)


def a_closure(count: int) -> Any:
    def countdown() -> int:
        return gilscope.countdown_python(count)

    return countdown


def callables() -> dict[str, tuple[tuple[Any, ...], set[str]]]:
    """Return what to call, and the strategies that are right for it; ``""`` is "nowhere, as it is"."""
    return {
        "countdown_python": ((gilscope.countdown_python, 5_000_000), POOLS),
        "countdown_held": ((gilscope.countdown_held, 400_000_000), {"process"}),
        "countdown_released": ((gilscope.countdown_released, 400_000_000), {"thread"}),
        "zlib.compress of 4 MB": ((zlib.compress, os.urandom(4_000_000)), {"thread"}),
        "json.loads of 10 MB": ((json.loads, ten_megabytes_of_json()), {""}),
        "a 20 us function": ((twenty_microseconds, 1500), {"inline"}),
        "time.sleep(0.1)": ((time.sleep, 0.1), {"thread"}),
        "a closure": ((a_closure(5_000_000),), {"thread"}),
        "a function returning 100 MB": ((hundred_megabytes,), {""}),
    }


def main(names: list[str]) -> int:
    wrong = 0
    for name, (call, right) in callables().items():
        if names and not any(wanted in name for wanted in names):
            continue
        result = gilscope.compare(*call, seconds=0.5)
        advice = recommend(result)
        wrong += advice.where not in right
        mark = "right" if advice.where in right else f"WRONG, should be {' or '.join(sorted(right))!r}"
        print(f"{name}: {advice.where or 'nowhere as it is'} ({mark})\n   {advice.claim}\n   {advice.because}")
        print(f"   {', '.join(finding.name for finding in advice.findings)}", flush=True)
    return min(1, wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
