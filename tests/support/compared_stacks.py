"""Compares stacks that are read without the GIL with what ``sys._current_frames`` says of the same threads."""

from __future__ import annotations

import contextlib
import gc
import random
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING

from tests.support.kinds import chain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from gilscope._core import _StackReader

    from tests.support.kinds import Call

    Row = tuple[str, str, int | None, int, int]
    """Of a frame: file, function, line, first line, index of the instruction."""

KEPT_AT_EACH_END = 64
READ = {"proved", "twice"}


@dataclass
class Compared:
    """What was compared, and what differed."""

    stacks: Counter[str] = field(default_factory=Counter)
    """How many stacks, by certainty."""
    frames: int = 0
    deepest: int = 0
    differences: list[str] = field(default_factory=list)

    def differ(self, *what: object) -> None:
        self.differences.append(" ".join(map(repr, what)))


def compare(reader: _StackReader, seed: int, stacks: int) -> Compared:
    """Compare at least this many stacks of random chains of calls, of this thread and of threads that wait."""
    compared, rng = Compared(), random.Random(seed)
    before = sys.getswitchinterval(), sys.getrecursionlimit(), threading.stack_size(256 << 20), gc.isenabled()
    sys.setswitchinterval(1000)
    sys.setrecursionlimit(100_000)
    gc.disable()  # finalizers would run between the reading and the comparison
    try:
        while compared.stacks.total() < stacks:
            _compare_once(reader, rng, compared)
    finally:
        sys.setswitchinterval(before[0])
        sys.setrecursionlimit(before[1])
        threading.stack_size(before[2])
        if before[3]:
            gc.enable()
    return compared


def _compare_once(reader: _StackReader, rng: random.Random, compared: Compared) -> None:
    waiting, locks, threads = threading.Semaphore(0), [threading.Lock() for _ in range(rng.randrange(5))], []
    for lock in locks:
        lock.acquire()
        threads.append(threading.Thread(target=_wait_in_a_chain, args=(random.Random(rng.random()), waiting, lock)))
        threads[-1].start()
    for _ in locks:
        waiting.acquire()
    for _ in range(3):
        own = random.Random(rng.random())
        if own.random() < 0.3:
            thread = threading.Thread(target=_call, args=(reader, own, compared))
            thread.start()
            thread.join()
        else:
            _call(reader, own, compared)
    for lock in locks:
        lock.release()
    for thread in threads:
        thread.join()


def _wait_in_a_chain(rng: random.Random, waiting: threading.Semaphore, lock: threading.Lock) -> None:
    def wait() -> None:
        waiting.release()
        with lock:
            pass

    _quietly(chain(wait, rng))
    waiting.release()


def _call(reader: _StackReader, rng: random.Random, compared: Compared) -> None:
    _quietly(chain(lambda: _compare_now(reader, compared), rng))


def _quietly(call: Call) -> None:
    """Call ``call``. A chain may end with an exception: some kinds of call cannot contain each other."""
    with contextlib.suppress(Exception):
        call()


def _compare_now(reader: _StackReader, compared: Compared) -> None:
    threads = reader.threads()
    read = reader.read([native for _, native in threads])
    frames = sys._current_frames()
    own = threading.get_ident()
    for (ident, _), (certainty, rows, left_out) in zip(threads, read, strict=True):
        expected = list(_rows(frames.get(ident)))
        if certainty not in READ:
            if expected:
                compared.differ(certainty, expected[0])
            continue
        compared.stacks[certainty] += 1
        compared.frames += len(expected)
        compared.deepest = max(compared.deepest, len(expected))
        if left_out != max(0, len(expected) - 2 * KEPT_AT_EACH_END):
            compared.differ("left out", left_out, len(expected))
        if left_out:
            expected = expected[:KEPT_AT_EACH_END] + expected[-KEPT_AT_EACH_END:]
        if ident == own and rows:  # this frame has gone on since it was read
            rows[0] = (*rows[0][:2], expected[0][2], *rows[0][3:4], expected[0][4])
        for row, other in zip_longest(rows, expected):
            if row != other:
                compared.differ(certainty, row, other)
                break


def _rows(frame: FrameType | None) -> Iterator[Row]:
    while frame is not None:
        code = frame.f_code
        yield (
            escaped(code.co_filename),
            escaped(code.co_qualname),
            frame.f_lineno,  # None for an instruction without a line, whatever its type says
            code.co_firstlineno,
            frame.f_lasti // 2,
        )
        frame = frame.f_back


def escaped(text: str) -> str:
    """Return ``text`` as gilscope shows it: lone surrogates are escaped."""
    return str.__str__(text).encode("utf-8", "backslashreplace").decode()
