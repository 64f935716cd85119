"""The contract with the native core: what each name takes, returns and raises, and whether it holds the GIL.

Durations are float seconds. Every ``n`` is anything with ``__index__``; each function that takes one raises
``TypeError`` for anything else, ``ValueError`` outside 0 to 2**64-1 and whatever ``__index__`` raises, and then has
started nothing.

Importing this module anywhere but in the main interpreter raises ``ImportError``.
"""

from asyncio import Future
from typing import NoReturn, SupportsIndex, final

__all__ = [
    "Histogram",
    "add_chain",
    "bridge_workers",
    "countdown_bridge",
    "countdown_held",
    "countdown_released",
    "countdown_tokio",
    "panic_bridge",
]

def countdown_held(n: SupportsIndex) -> int:
    """Count ``n`` down to 0, one step a clock cycle, with the GIL held; return the number of decrements.

    On the main thread a signal's handler runs within a millisecond, and what it raises (``KeyboardInterrupt`` for
    Ctrl-C) ends the countdown; other threads do not get to run even then.
    """

def countdown_released(n: SupportsIndex) -> int:
    """Count ``n`` down to 0, one step a clock cycle, with the GIL released; return the number of decrements.

    On the main thread it attaches every 50 ms, to let signal handlers run; what they raise ends the countdown. On any
    other thread it does not attach until it is done.
    """

def countdown_tokio(n: SupportsIndex) -> Future[int]:
    """Count ``n`` down to 0 on a thread of tokio, without the GIL; await the future for the number of decrements.

    Must be called with an event loop running in this thread, as ``asyncio`` or ``uvloop`` makes it; otherwise
    ``RuntimeError``. Cancelling the future ends the countdown within microseconds. At interpreter exit all are stopped,
    and what has not been delivered never is; one started after that raises ``RuntimeError`` on the main thread, and on
    others (daemon threads, whose end has come) is never done.
    """

def countdown_bridge(n: SupportsIndex) -> Future[int]:
    """Count ``n`` down to 0 on a thread of the bridge, which never attaches; await the future for the number of decrements.

    The future is made, and its result is set, by the event loop that runs in this thread (``RuntimeError`` if none does).
    Cancelling it ends the countdown within microseconds of the loop's next turn; so does closing the loop. ``OSError`` if
    the process cannot have a descriptor (one for each loop) or a first thread.

    A loop without ``add_reader`` (Windows' Proactor) is told of results by a thread that does attach. With such a loop
    ``RuntimeError`` once ``atexit`` has stopped that thread; with any other the bridge works until the process ends.
    """

def panic_bridge(message: str) -> Future[NoReturn]:
    """Panic on a thread of the bridge; awaiting the future raises ``RuntimeError`` with ``message`` at its end.

    This is for seeing that a bug in a kernel becomes an exception, prints nothing, and that the worker lives on.
    """

def bridge_workers(*, at_least: int = 0) -> int:
    """Let the bridge have ``at_least`` threads if it has fewer; return how many it may have, as many as cores at first.

    Threads are started when work waits for them, and stay. ``OverflowError`` below 0.
    """

def add_chain(n: SupportsIndex) -> int:
    """Do ``n`` additions (rounded down to a multiple of 16), each waiting for the one before; return how many.

    One takes one clock cycle (on x86-64; elsewhere it may take more), so this tells the clock's rate. GIL released.
    Nothing interrupts it, Ctrl-C neither: a second of it is some 4 * 10**9.
    """

@final
class Histogram:
    """Counts durations in constant memory (300 kB), each to within 0.1 %, up to a day. Threads may share one.

    Source: Gil Tene's HDR histogram, as the Rust crate ``hdrhistogram`` has it.
    """

    def __new__(cls) -> Histogram: ...
    def record(self, duration: float) -> None:
        """Count one duration; below 0 counts as 0. ``ValueError`` for an infinity or a NaN."""

    def record_schedule(self, longest: float, period: float) -> int:
        """Count ``longest``, ``longest - period`` and so on as long as they are not below 0; return how many.

        What a waiter saw that was due every ``period`` and was last served ``longest`` ago; ``longest`` below 0 counts
        as 0. Takes ``longest / period`` steps. ``ValueError`` for a ``period`` under a nanosecond, for an infinity and
        for a NaN.
        """

    def quantile(self, q: float) -> float | None:
        """Return the smallest duration that a share ``q`` (0 to 1) of them do not exceed; None if there are none."""

    def __len__(self) -> int:
        """Return how many durations are counted."""
