"""Compare gilknocker and gilscope's knocker on known duty cycles.

A thread holds the GIL for some time and releases it for some time, again and again. The truth comes from the thread's own
clocks; time in a run queue is not counted (on a quiet machine there is none). gilknocker and gilscope measure one after the
other, each for its own seconds. Exit status 1 if gilscope is off by more than 0.03 in any row.

``pip install gilknocker`` first; without it only gilscope measures.
"""

from __future__ import annotations

import ctypes
import hashlib
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import click
from gilscope._core import Knocker, monotonic, run_queue_delay
from gilscope.checks.knocks import SampledTime
from gilscope.checks.phase import MAX_KNOCKS_KEPT, MEAN_GAP_SECONDS
from gilscope.checks.shares import shares_of

if TYPE_CHECKING:
    from collections.abc import Callable

try:
    from gilknocker import KnockKnock
except ImportError:
    KnockKnock = None

CYCLES = [(20, 60), (100, 300), (300, 900), (50, 950), (60, 20), (300, 100)]
"""Milliseconds with the GIL held and released."""
TOLERANCE = 0.03
HOLD_PART_SECONDS = 0.005
"""A long hold in Python is recorded in parts of this length, so that a hold on the edge of a reading counts in part."""
HOLD = ctypes.PyDLL(None).usleep
NOISE = bytes(4_000_000)


def hold_in_c(seconds: float) -> None:
    HOLD(int(seconds * 1e6))


def hold_in_python(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class Hold(NamedTuple):
    """When the GIL was held, and for how long of that time the holder ran or slept."""

    begin: float
    end: float
    own: float


class Worker:
    """A thread that repeats one turn, and records when it held the GIL."""

    def __init__(self, turn: Callable[[list[Hold]], None]) -> None:
        self.held: list[Hold] = []
        self._turn = turn
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._done.is_set():
            self._turn(self.held)

    @property
    def native_id(self) -> int:
        return self._thread.native_id or 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    def share(self, begin: float, end: float, queued: float) -> float:
        own = 0.0
        for hold in self.held:
            overlap = max(0.0, min(end, hold.end) - max(begin, hold.begin))
            own += hold.own * overlap / (hold.end - hold.begin)
        return own / (end - begin - queued)


def cycle(hold: Callable[[float], None], held: float, released_for: float) -> Callable[[list[Hold]], None]:
    def turn(holds: list[Hold]) -> None:
        pieces = 1 if hold is hold_in_c else max(1, round(held / HOLD_PART_SECONDS))
        for _ in range(pieces):
            begin = monotonic()
            hold(held / pieces)
            holds.append(Hold(begin, monotonic(), held / pieces))
        if released_for:
            time.sleep(released_for)

    return turn


def released(call: Callable[[], Any]) -> Callable[[list[Hold]], None]:
    def turn(_: list[Hold]) -> None:
        call()

    return turn


class Reading(NamedTuple):
    """A share measured from ``begin`` to ``end``; the thread stood in run queues for ``queued`` seconds of that."""

    begin: float
    end: float
    queued: float
    share: float


def read_gilknocker(watched: int, seconds: float) -> Reading:
    knocker = KnockKnock()
    knocker.start()
    begin, queued = monotonic(), run_queue_delay(watched) or 0.0
    time.sleep(seconds)
    end, queued, share = monotonic(), (run_queue_delay(watched) or 0.0) - queued, float(knocker.contention_metric)
    knocker.stop()
    return Reading(begin, end, queued, share)


def read_ours(watched: int, seconds: float) -> Reading:
    with Knocker(mean_gap=MEAN_GAP_SECONDS, watched=watched, keep=MAX_KNOCKS_KEPT) as knocker:
        begin, queued = monotonic(), run_queue_delay(watched) or 0.0
        time.sleep(seconds)
        end, queued = monotonic(), (run_queue_delay(watched) or 0.0) - queued
    sampled = SampledTime()
    sampled.add(knocker.knocks(), begin=begin, end=end)
    return Reading(begin, end, queued, 1 - shares_of(sampled, mean_gap=MEAN_GAP_SECONDS).released)


@click.command()
@click.option("--seconds", default=2.0, show_default=True, help="Measure each row for this many seconds.")
def main(seconds: float) -> None:
    rows = [
        (f"{held}/{released_for} ms in {language}", cycle(hold, held / 1000, released_for / 1000))
        for language, hold in (("C", hold_in_c), ("Python", hold_in_python))
        for held, released_for in CYCLES
    ]
    rows.append(("always in C", cycle(hold_in_c, 0.02, 0.0)))
    rows.append(("always in Python", cycle(hold_in_python, 0.02, 0.0)))
    rows.append(("hashlib.sha256", released(lambda: hashlib.sha256(NOISE))))
    rows.append(("time.sleep", released(lambda: time.sleep(0.01))))
    worst = 0.0
    click.echo(
        f"{sys.version.split()[0]}, {seconds:g} s for each row\n{'':22} truth  gilknocker    truth gilscope  off"
    )
    for name, turn in rows:
        with Worker(turn) as worker:
            theirs = read_gilknocker(worker.native_id, seconds) if KnockKnock else None
            ours = read_ours(worker.native_id, seconds)
        truth = worker.share(*ours[:3])  # now that the hold at the end is recorded too
        off = ours.share - truth
        worst = max(worst, abs(off))
        peer = f"{worker.share(*theirs[:3]):5.3f} {theirs.share:11.3f}" if theirs else " " * 17
        click.echo(f"{name:22} {peer} {truth:8.3f} {ours.share:8.3f} {off:+4.3f}")
    click.echo(f"gilscope is at most {worst:.3f} off")
    sys.exit(worst > TOLERANCE)


if __name__ == "__main__":
    main()
