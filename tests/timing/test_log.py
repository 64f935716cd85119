"""A line of the log is written within 20 ms of the threshold, and long before a hold of the GIL ends."""

from __future__ import annotations

import asyncio
import ctypes
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from gilscope.watch.api import Watch

THRESHOLD = 0.1
HOLD = 1.0
HOLDS = 3
SOON = 0.02
READS_AND_STAMPS = """
import sys, time
for line in sys.stdin.buffer:
    print(time.monotonic(), line.decode(), end="", flush=True)
"""
"""Another process has the same monotonic clock, and runs whatever holds the GIL here."""


def hold() -> tuple[float, float]:
    began = time.monotonic()
    ctypes.PyDLL(None).usleep(int(HOLD * 1e6))
    return began, time.monotonic()


class Seen(NamedTuple):
    held: list[tuple[float, float]]
    """When the GIL was held."""
    written: list[tuple[float, dict[str, Any]]]
    """Which line was read when."""
    began: float


@pytest.fixture(scope="module")
def seen() -> Seen:
    """Hold the GIL some times."""
    stamp = subprocess.Popen([sys.executable, "-c", READS_AND_STAMPS], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert stamp.stdin is not None

    async def main() -> list[tuple[float, float]]:
        held = []
        for _ in range(HOLDS):
            await asyncio.sleep(2 * THRESHOLD)
            held.append(await asyncio.get_running_loop().run_in_executor(pool, hold))
        await asyncio.sleep(THRESHOLD)
        return held

    with ThreadPoolExecutor(1, thread_name_prefix="pool") as pool:
        pool.submit(int).result()
        with Watch(stall=THRESHOLD, log=stamp.stdin.fileno()) as watch:
            watch.snapshot()  # reads the threads' names
            held = asyncio.run(main())
    output, _ = stamp.communicate(timeout=60)
    stamped = [line.split(" ", 1) for line in output.decode().splitlines()]
    return Seen(held, [(float(at), json.loads(line)) for at, line in stamped], watch.began)


def during(seen: Seen) -> list[tuple[float, dict[str, Any], float]]:
    """Return the line of each hold, when it was read, and when the hold ended."""
    found = [
        (at, line, end)
        for start, end in seen.held
        for at, line in seen.written
        if line["event"] == "stall" and start < seen.began + line["at"] < end
    ]
    assert len(found) == HOLDS
    return found


def test_the_line_of_a_hold_is_written_within_20_ms_and_before_the_hold_ends(seen: Seen) -> None:
    delays = []
    for at, line, end in during(seen):
        assert at < end - HOLD / 2
        assert line["cause"] in {"starved by a hog", "no CPU"}
        assert line["holder"]["name"] == "pool_0"
        delays.append(at - (seen.began + line["at"] - line["seconds"] + THRESHOLD))
    assert min(delays) < SOON


def test_it_names_the_line_that_holds_the_gil(seen: Seen) -> None:
    line = hold.__code__.co_firstlineno + 2
    place = {"file": __file__, "line": line, "function": "hold"}
    assert [{name: each["holder"]["line"][name] for name in place} for _, each, _ in during(seen)] == [place] * HOLDS


def test_each_stall_has_an_end(seen: Seen) -> None:
    by_event = {event: {line["id"] for _, line in seen.written if line["event"] == event} for event in ("stall", "end")}
    assert by_event["stall"] <= by_event["end"]
    assert len(by_event["stall"]) >= HOLDS
