"""The share of time in which the GIL is held, from what a knocker counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.waits import was_held, weight

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilscope._core import Knock, KnockTally


def held_share(before: KnockTally, after: KnockTally) -> float:
    """Return the share of the time between two tallies in which the GIL was held, from 0 to 1.

    The waits are time that is known to be held; of the time between them the knocks are a sample. Nothing is averaged
    over the knocks alone: of long waits there are few.
    """
    elapsed, waited = after.elapsed - before.elapsed, after.waited - before.waited
    knocks, held = after.knocks - before.knocks, after.held - before.held
    if elapsed <= 0:
        return 0.0
    found = held / knocks if knocks else 0.0
    return min(1.0, (waited + max(0.0, elapsed - waited) * found) / elapsed)


def held_share_by(knocks: Sequence[Knock], *, begin: float, end: float) -> float:
    """Return the share of the time from ``begin`` to ``end`` in which the watched thread held the GIL, or wanted to.

    A thread that yields lets go because it is asked, and on a loaded machine then waits for a processor: the knocks that
    find the GIL free meanwhile say nothing of the thread, and are left out.
    """
    waited = found = weighed = 0.0
    last = begin
    for knock in knocks:
        over = knock.start + knock.wait
        if over <= begin or knock.start >= end:
            continue
        if was_held(knock):
            waited += min(over, end) - max(knock.start, begin)
        if knock.start >= begin:
            says = weight(knock, knock.start - last)
            weighed += says
            found += says * was_held(knock)
        last = over
    share = found / weighed if weighed else float(waited > 0)
    return min(1.0, (waited + (end - begin - waited) * share) / (end - begin))
