"""Known duty cycles and callables, read by gilknocker (as it comes) and by the knocker, beside the truth, in one run.

A thread holds the GIL for d and lets it go for g, again and again; the truth is what its own clock says. gilknocker and
ours read one after the other, each its own seconds. Ends with status 1 if ours is more than 0.03 off in a row.
``pip install gilknocker`` first; without it only ours is read.
"""

from __future__ import annotations

import ctypes
import hashlib
import sys
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any, Self

import click
from gilscope._core import Knocker, monotonic
from gilscope.checking import KEEP, MEAN_GAP
from gilscope.held import held_share_by

if TYPE_CHECKING:
    from collections.abc import Callable

try:
    from gilknocker import KnockKnock  # type: ignore[import-untyped]
except ImportError:
    KnockKnock = None

CYCLES = [(20, 60), (100, 300), (300, 900), (50, 950), (60, 20), (300, 100)]
"""Held and let go, in milliseconds."""
TOLERANCE = 0.03
HOLD = ctypes.PyDLL(None).usleep
NOISE = zlib.compress(bytes(10_000_000)) * 100


def hold_in_c(seconds: float) -> None:
    HOLD(int(seconds * 1e6))


def hold_in_python(seconds: float) -> None:
    end = monotonic() + seconds
    while monotonic() < end:
        pass


class Worker:
    """A thread that does the same again and again, and notes when it held the GIL."""

    def __init__(self, turn: Callable[[list[tuple[float, float]]], None]) -> None:
        self.held: list[tuple[float, float]] = []
        self._turn = turn
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._done.is_set():
            self._turn(self.held)

    @property
    def native_id(self) -> int | None:
        return self._thread.native_id

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    def share(self, begin: float, end: float) -> float:
        overlaps = (min(end, to) - max(begin, since) for since, to in self.held)
        return sum(overlap for overlap in overlaps if overlap > 0) / (end - begin)


def cycle(hold: Callable[[float], None], held: float, let_go: float) -> Callable[[list[tuple[float, float]]], None]:
    def turn(noted: list[tuple[float, float]]) -> None:
        begin = monotonic()
        hold(held)
        noted.append((begin, monotonic()))
        time.sleep(let_go)

    return turn


def always(call: Callable[[], Any], *, holds: bool) -> Callable[[list[tuple[float, float]]], None]:
    def turn(noted: list[tuple[float, float]]) -> None:
        begin = monotonic()
        call()
        if holds:
            noted.append((begin, monotonic()))

    return turn


def read_gilknocker(worker: Worker, seconds: float) -> tuple[float, float]:
    knocker = KnockKnock()
    knocker.start()
    begin = monotonic()
    time.sleep(seconds)
    end, read = monotonic(), float(knocker.contention_metric)
    knocker.stop()
    time.sleep(0.3)  # so that the hold at the end is noted
    return worker.share(begin, end), read


def read_ours(worker: Worker, seconds: float) -> tuple[float, float]:
    with Knocker(mean_gap=MEAN_GAP, watched=worker.native_id, keep=KEEP) as knocker:
        begin = monotonic()
        time.sleep(seconds)
        end = monotonic()
    time.sleep(0.3)
    return worker.share(begin, end), held_share_by(knocker.knocks(), begin=begin, end=end)


@click.command()
@click.option("--seconds", default=2.0, show_default=True, help="For each reading.")
def main(seconds: float) -> None:
    rows = [
        (f"{held}/{let_go} ms in {language}", cycle(hold, held / 1000, let_go / 1000))
        for language, hold in (("C", hold_in_c), ("Python", hold_in_python))
        for held, let_go in CYCLES
    ]
    rows.append(("always in C", always(lambda: hold_in_c(0.02), holds=True)))
    rows.append(("always in Python", always(lambda: hold_in_python(0.02), holds=True)))
    rows.append(("hashlib.sha256", always(lambda: hashlib.sha256(NOISE), holds=False)))
    rows.append(("time.sleep", always(lambda: time.sleep(0.01), holds=False)))
    worst = 0.0
    click.echo(f"{sys.version.split()[0]}, {seconds:g} s a reading\n{'':22} truth  gilknocker    truth    ours   off")
    for name, turn in rows:
        with Worker(turn) as worker:
            theirs = read_gilknocker(worker, seconds) if KnockKnock else (float("nan"), float("nan"))
            truth, ours = read_ours(worker, seconds)
        worst = max(worst, abs(ours - truth))
        click.echo(f"{name:22} {theirs[0]:5.3f} {theirs[1]:11.3f} {truth:8.3f} {ours:7.3f} {ours - truth:+5.3f}")
    click.echo(f"ours is at most {worst:.3f} off")
    sys.exit(worst > TOLERANCE)


if __name__ == "__main__":
    main()
