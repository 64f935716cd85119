"""One phase of a check: calls, and a native thread that asks for the GIL at random moments while they are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope._core import Knocker, monotonic
from gilscope.checks.calls import Calls
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
        self.knocker = Knocker(mean_gap=MEAN_GAP_SECONDS, watched=thread, keep=MAX_KNOCKS_KEPT, ordinary=real)
        watch_over(self.knocker)

    def sampled(self) -> SampledTime:
        """Return the time of the calls made, as the waits sampled it."""
        return self.calls.sampled_by(self.knocker.knocks())

    def so_far(self) -> tuple[Calls, list[Knock]]:
        """Return the calls that have ended, or the one that does not end, and all waits that have ended. For another thread."""
        now = monotonic()  # before this thread holds the GIL for a while
        knocks = self.knocker.knocks()
        return self.calls.so_far(now, knocks), knocks
