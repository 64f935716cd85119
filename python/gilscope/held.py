"""The share of time in which the GIL is held, from what a knocker counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gilscope._core import KnockTally


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
