"""Reads stacks beside threads that run."""

from __future__ import annotations

import sys
import threading
import warnings
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.running import work
from tests.support.running.verdict import impossible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope._core import _StackReader

    Counts = Counter[str]

READS_AT_ONCE = 50_000


@contextmanager
def running() -> Iterator[None]:
    """Run three busy threads, one that starts threads that import, and one that forks; switch between them often."""
    warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork")
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    work.stop = False
    threads = [threading.Thread(target=work.forever, args=(seed,)) for seed in range(3)]
    threads += [threading.Thread(target=work.spawner), threading.Thread(target=work.forker)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        work.stop = True
        for thread in threads:
            thread.join()
        sys.setswitchinterval(before)


def read(reader: _StackReader, reads: int) -> tuple[Counts, Counts]:
    """Read this many stacks. Return how many, by certainty or reason; and what was impossible in how many of them."""
    counts: Counts = Counter()
    wrong: Counts = Counter()
    verdicts: dict[tuple[tuple[str, str, int | None], ...], str | None] = {}
    while (left := reads - counts.total()) > 0:
        stacks, doubts = reader.read_others(min(left, READS_AT_ONCE))
        counts.update(doubts)
        for number, certainty, stack in stacks:
            counts[certainty] += number
            key = tuple(stack)
            if key not in verdicts:
                verdicts[key] = impossible(stack)
            if (verdict := verdicts[key]) is not None:
                wrong[f"{certainty}: {verdict}"] += number
        if len(verdicts) > 200_000:
            verdicts.clear()
    return counts, wrong
