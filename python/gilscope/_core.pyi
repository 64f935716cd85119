"""The contract with the native core: what each name takes, returns and raises, and whether it holds the GIL.

Durations are float seconds. Every ``n`` is anything with ``__index__``; each function that takes one raises
``TypeError`` for anything else, ``ValueError`` outside 0 to 2**64-1 and whatever ``__index__`` raises, and then has
started nothing.

Importing this module anywhere but in the main interpreter raises ``ImportError``.
"""

from asyncio import AbstractEventLoop, Future
from collections.abc import Callable
from typing import NoReturn, SupportsIndex, final

from gilscope.watch.native import NativeSnapshot, StallReport

__all__ = [
    "CollectionListener",
    "Collections",
    "Heart",
    "Histogram",
    "Knock",
    "KnockTally",
    "Knocker",
    "LoweredSwitchInterval",
    "Watcher",
    "bridge_workers",
    "countdown_bridge",
    "countdown_held",
    "countdown_released",
    "countdown_tokio",
    "gil_unreadable",
    "monotonic",
    "run_queue_delay",
]

def countdown_held(n: SupportsIndex) -> int:
    """Count ``n`` down to 0, one step per clock cycle, with the GIL held; return the number of decrements.

    On the main thread, signal handlers run within a millisecond, and an exception from a handler (``KeyboardInterrupt``
    for Ctrl-C) ends the countdown. Other Python threads do not run until it ends.
    """

def countdown_released(n: SupportsIndex) -> int:
    """Count ``n`` down to 0, one step per clock cycle, with the GIL released; return the number of decrements.

    On the main thread it acquires the GIL every 50 ms to run signal handlers, and an exception from a handler ends the
    countdown. On any other thread it does not acquire the GIL until it is done.
    """

def countdown_tokio(n: SupportsIndex) -> Future[int]:
    """Count ``n`` down to 0 on a tokio thread, without the GIL; await the future for the number of decrements.

    Raises ``RuntimeError`` if no event loop (of ``asyncio`` or ``uvloop``) runs in this thread. Cancelling the future ends
    the countdown within microseconds. At interpreter exit all countdowns are stopped, and results that were not delivered
    yet never are. A countdown that is started after that raises ``RuntimeError`` on the main thread. On a daemon thread
    its future is never done.
    """

def countdown_bridge(n: SupportsIndex) -> Future[int]:
    """Count ``n`` down to 0 on a worker thread of the bridge; await the future for the number of decrements.

    The worker never acquires the GIL. The event loop that runs in this thread creates the future and sets its result.
    Cancelling the future ends the countdown within microseconds of the loop's next turn, and so does closing the loop.
    The bridge works until the process ends.

    Raises ``RuntimeError`` if no event loop runs in this thread, ``NotImplementedError`` if the loop does not implement
    ``add_reader``, and ``OSError`` if the process cannot open a file descriptor (one for each loop) or start its first
    worker thread.
    """

def bridge_workers(*, at_least: int = 0) -> int:
    """Raise the bridge's limit of worker threads to ``at_least``, if it is lower; return the limit.

    The first limit is the number of cores. Threads are started when work waits for them, and live until the process
    ends. Raises ``OverflowError`` below 0.
    """

@final
class Histogram:
    """Counts durations in constant memory (300 kB), each to within 0.1 %. Threads may share one.

    A duration longer than a day counts as a day. Source: Gil Tene's HDR histogram, in the Rust crate ``hdrhistogram``.
    """

    def __new__(cls) -> Histogram: ...
    def record(self, duration: float) -> None:
        """Count one duration. A negative duration counts as 0. Raises ``ValueError`` for an infinity or a NaN."""

    def record_schedule(self, longest: float, period: float) -> int:
        """Count ``longest``, ``longest - period`` and so on while the value is at least 0; return how many.

        These are the latenesses of ticks that were due every ``period`` while the loop was blocked for ``longest``. A
        negative ``longest`` counts as 0. Takes ``longest / period`` steps. Raises ``ValueError`` if ``period`` is shorter
        than a nanosecond, and for an infinity or a NaN.
        """

    def quantile(self, q: float) -> float | None:
        """Return the ``q`` quantile: a share ``q`` (0 to 1) of the counted durations is not longer.

        ``None`` if nothing was counted. Raises ``ValueError`` if ``q`` is not from 0 to 1.
        """

    def counts_up_to(self, bounds: list[float]) -> list[int]:
        """Return, for each of ``bounds``, how many counted durations are not longer."""

    def total(self) -> float:
        """Return the sum of all counted durations, to within 0.1 %."""

    def copy(self) -> Histogram:
        """Return an independent histogram with the same counts."""

    def __len__(self) -> int:
        """Return how many durations were counted."""

@final
class Collections:
    """A callback for ``gc.callbacks`` that notes when the collector ran, and runs no Python.

    One in Python would be a place where the GIL is given up, and make a hog that allocates yield.
    """

    def __new__(cls, *, shortest: float) -> Collections:
        """Make one that notes the collections that take ``shortest`` or longer."""

    def __call__(self, phase: str, _info: object) -> None: ...
    def pauses(self) -> list[tuple[float, float]]:
        """Return those that were noted, as ``(begin, end)`` on the clock of ``monotonic``."""

@final
class Knocker:
    """A native thread that asks for the GIL at random moments (exponential gaps) and counts how long it waits for it.

    A knock holds the GIL for some hundred nanoseconds and runs no Python. Where the thread is still alive at exit,
    ``atexit`` stops it. In a forked child the object is of no use: all but ``stop``, which does nothing, raise
    ``RuntimeError``.
    """

    def __new__(cls, *, mean_gap: float, watched: int | None, keep: int) -> Knocker:
        """Make one that knocks every ``mean_gap`` on average and keeps the first ``keep`` knocks.

        ``watched`` is the native id of a thread of this process, whose processor time is read at each knock (Linux).
        ``ValueError`` for a ``mean_gap`` under a microsecond.
        """

    def start(self) -> None:
        """Start the thread, and return after its first attach; the GIL is released meanwhile.

        ``RuntimeError`` the second time, and when the interpreter shuts down.
        """

    def stop(self) -> None:
        """Stop, and return once the thread is gone; the GIL is released meanwhile. Stopping twice is harmless."""

    def __enter__(self) -> Knocker:
        """``start``, in one step."""

    def __exit__(self, *exception: object) -> None:
        """``stop``."""

    def tell(self, fd: int, period: float) -> None:
        """Have a thread that never attaches write to ``fd``, every ``period``, what the wait in progress has come to.

        At the beginning of the file stands one line, a float of seconds; 0 while no knock waits. ``stop`` ends it.
        """

    def tally(self) -> KnockTally:
        """Return what was counted since the start, the wait in progress included."""

    def wait_quantile(self, q: float) -> float | None:
        """Return the wait that a share ``q`` (0 to 1) of the knocks did not exceed, to within 0.1 %, if there is one."""

    def knocks(self) -> list[Knock]:
        """Return the knocks that were kept, in their order. One that is still waiting is not among them."""

@final
class KnockTally:
    """A cumulative reading: two of them, subtracted, tell of the time between."""

    @property
    def elapsed(self) -> float:
        """Return the time since the first attach."""

    @property
    def waited(self) -> float:
        """Return the time spent waiting for the GIL."""

    @property
    def knocks(self) -> int:
        """Return how many knocks there were."""

    @property
    def held(self) -> int:
        """Return how many of them found the GIL held."""

    @property
    def longest(self) -> float:
        """Return the longest wait."""

    @property
    def waiting(self) -> float:
        """Return how long the knock in progress has waited; 0 if there is none. It is counted in the others."""

@final
class Knock:
    """One knock. What is said of the watched thread and of the knocker's own is 0 or ``None`` where it is not known.

    Where the watched thread was blocked and another thread of the process was not, what is said is of that one: the one
    that stood in run queues for the longest of them, in a process of up to 16 threads.
    """

    @property
    def start(self) -> float:
        """Return when it was, on the clock of ``monotonic``."""

    @property
    def wait(self) -> float:
        """Return how long it waited for the GIL."""

    @property
    def slept(self) -> int | None:
        """Return how often the knocker went to sleep in the wait: 0 if the GIL was free, 1 each switch interval if not."""

    @property
    def doing(self) -> int | None:
        """Return what the watched thread did when the knock came: 1 ran, 2 waited for a processor, 3 was blocked."""

    @property
    def of_another(self) -> bool:
        """Return whether that and what follows is said of another thread: the watched one was blocked."""

    @property
    def ran_before(self) -> float:
        """Return the processor time of the watched thread between the knock before and this one."""

    @property
    def ran(self) -> float:
        """Return the same for the wait."""

    @property
    def queued_before(self) -> float:
        """Return the time in run queues booked for the watched thread between the knock before and this one.

        Linux books it when the thread runs again, so it may have passed before that.
        """

    @property
    def queued(self) -> float:
        """Return the same for the wait."""

    @property
    def own_queued_before(self) -> float:
        """Return the knocker's own time in run queues between the knock before and this one."""

    @property
    def own_queued(self) -> float:
        """Return the same for the wait."""

@final
class LoweredSwitchInterval:
    """A context in which Python's switch interval is at most ``interval``, and which puts it back whatever happens.

    Entering and leaving are one step each, so that no signal handler's exception can come between. Where several are
    entered at a time, in whatever threads, the last to leave puts it back.
    """

    def __new__(cls, *, interval: float) -> LoweredSwitchInterval: ...
    def __enter__(self) -> float:
        """Lower it; return what it was before anyone lowered it."""

    def __exit__(self, *exception: object) -> None: ...

def monotonic() -> float:
    """Return the time on the clock that the knocks are on."""

def run_queue_delay(thread: int) -> float | None:
    """Return how long a thread of this process (by its native id) has stood in run queues; ``None`` if it is not known."""

def gil_unreadable() -> str | None:
    """Tell, by a self-check, why the GIL's state cannot be read from outside of it here; ``None`` when it can.

    One of the words that ``gilscope.records.watch_report.UNREADABLE`` explains. Changes the switch interval for some microseconds,
    and gives the GIL up and takes it back once.
    """

@final
class Watcher:
    """The native half of a watch. It starts two threads when it is made, and ends them in :meth:`close`.

    One looks at the GIL and at the hearts every ``sample`` seconds on average and never attaches; the other attaches at
    random moments, ``knock`` seconds apart on average, and when a loop is half of ``stall`` late. ``current_task`` is called with
    a loop and must run no Python code. ``ValueError`` for a time that is not above 0. In a forked child, whose threads are
    gone, every method but ``close``, which does nothing, raises ``RuntimeError``.
    """

    def __new__(
        cls,
        *,
        stall: float,
        heartbeat: float,
        sample: float,
        knock: float,
        trace: bool,
        read_gil: bool,
        current_task: Callable[[AbstractEventLoop], object],
    ) -> Watcher: ...
    @property
    def began(self) -> float:
        """Return when it was made, on the clock of ``time.monotonic``, as all moments here are."""

    @property
    def gil_unreadable(self) -> str | None:
        """Return why the holder of the GIL cannot be seen, as :func:`gil_unreadable` does; ``"declined"`` if not asked to."""

    def collection_listener(self) -> CollectionListener:
        """Return the callback for ``gc.callbacks``."""

    def add_heart(self) -> Heart:
        """Return a heart for one more loop."""

    def remove_heart(self, heart: Heart) -> None:
        """Look after ``heart`` no more. A stall that it has not reported yet still is."""

    def fetch(self) -> StallReport | None:
        """Wait, with the GIL released, for the next stall that is over. ``None`` once it is closed and none is left."""

    def snapshot(self) -> NativeSnapshot:
        """Return what has been seen so far. The GIL is kept."""

    def holds(self) -> list[tuple[int, str | None, float, float]]:
        """Return the last 200 000 holds of the GIL, if it traces: native id, name, from, to. They add up to ``held``."""

    def beats(self) -> list[tuple[float, float]]:
        """Return the last 100 000 beats, if it traces: when each came, and how late it was."""

    def close(self) -> None:
        """End the threads, and wait for them with the GIL released: some milliseconds."""

@final
class Heart:
    """One loop's heartbeat. To be called in the loop's thread; the GIL is kept."""

    @property
    def number(self) -> int:
        """Return the loop's number, from 1."""

    def fileno(self) -> int | None:
        """Return the file that can be read once a beat is due, until the next one is expected; ``None`` where there is none."""

    def start(self, *, event_loop: AbstractEventLoop, ident: int, native_id: int) -> None:
        """Expect the first beat in ``heartbeat`` seconds, from the thread with these ids."""

    def beat(self) -> None:
        """Count the beat that was expected as come now, and expect the next one in ``heartbeat`` seconds."""

    def stop(self) -> None:
        """Count the beat that was expected as come now, and expect no more."""

@final
class CollectionListener:
    """Notes when the garbage collector runs, and in which thread."""

    def __call__(self, phase: str, info: object, /) -> None:
        """Note a ``phase``, "start" or "stop": the protocol of ``gc.callbacks``."""

@final
class _Testing:
    """Functions for gilscope's own tests and benches."""

    @staticmethod
    def panic_bridge(message: str) -> Future[NoReturn]:
        """Panic on a worker thread of the bridge; awaiting the future raises ``RuntimeError`` that ends with ``message``.

        Tests use it to prove that a bug in native work becomes an exception, prints nothing, and leaves the worker alive.
        """

    @staticmethod
    def add_chain(n: SupportsIndex) -> int:
        """Do ``n`` dependent additions (rounded down to a multiple of 16) with the GIL released; return how many.

        One addition takes one clock cycle, so this measures the clock's rate. Nothing interrupts it, not even Ctrl-C:
        4 * 10**9 take about a second.
        """
