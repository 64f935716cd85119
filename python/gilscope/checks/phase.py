"""One phase of a check: calls, and a native thread that asks for the GIL at random moments while they are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope._core import Knocker, monotonic, run_queue_delay
from gilscope.checks.calls import Calls
from gilscope.checks.knocks import Wait
from gilscope.checks.shares import LONG_HOLD_SECONDS
from gilscope.checks.stuck import watch_over

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from gilscope._core import Knock
    from gilscope.checks.knocks import SampledTime

MEAN_GAP_SECONDS = 0.0005
"""Between two samples."""
MAX_KNOCKS_KEPT = 2_000_000
"""The knocks of a quarter of an hour; they take 250 MB."""


class Phase:
    """Calls, and the waits for the GIL meanwhile.

    With ``real`` the native thread has no more priority than a thread of the program, and the calls have a pause after
    each: the waits are those that a single call causes to a Python thread.
    """

    def __init__(self, call: Callable[[], Any], *, thread: int, real: bool = False) -> None:
        self.calls = Calls(call, apart=real)
        self._thread, self._queued_before = thread, run_queue_delay(thread) or 0.0
        self.knocker = Knocker(mean_gap=MEAN_GAP_SECONDS, watched=thread, keep=MAX_KNOCKS_KEPT, ordinary=real)
        watch_over(self.knocker)

    def sampled(self) -> SampledTime:
        """Return the time of the usual calls, as the waits sampled it."""
        return self.calls.usual().sampled_by(self.knocker.knocks())

    def sampled_so_far(self, calls: Calls) -> SampledTime:
        """Return the time of ``calls`` as the waits sampled it, with the wait that has not ended. For another thread.

        For releases that are too brief the native thread may still wait when this thread, which was luckier, has the GIL.
        """
        sampled = calls.sampled_by(self.knocker.knocks())
        waiting = self.knocker.tally().waiting
        if waiting > LONG_HOLD_SECONDS:
            now = monotonic()
            own = max(0.0, waiting - ((run_queue_delay(self._thread) or 0.0) - self._queued_before))
            sampled.waits.append(
                Wait(now - waiting, now, 1.0, held=True, least=own, most=waiting, likely=own, before=0.0)
            )
        return sampled

    def so_far(self) -> tuple[Calls, list[Knock]]:
        """Return the calls that have ended, or the one that does not end, and all waits that have ended. For another thread."""
        now = monotonic()  # before this thread holds the GIL for a while
        knocks = self.knocker.knocks()
        return self.calls.so_far(now, knocks), knocks
