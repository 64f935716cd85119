"""The contract with the native core: what each name takes, returns and raises, and whether it holds the GIL.

Durations are float seconds. The GIL is kept unless a docstring says otherwise. Every ``n`` is anything with ``__index__``; each function that takes one raises
``TypeError`` for anything else, ``ValueError`` outside 0 to 2**64-1 and whatever ``__index__`` raises, and then has
started nothing.

Importing this module anywhere but in the main interpreter raises ``ImportError``.
"""

from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Sequence
from types import CodeType, FrameType
from typing import Any, Final, Literal, NoReturn, Self, SupportsIndex, final

from gilscope.records.stall import Evidence
from gilscope.watch.log_settings import LineRules, LogSettings

__all__ = [
    "BEATS_KEPT",
    "CANNOT_ATTACH_CODES",
    "GIL_UNREADABLE_CODES",
    "HOLDS_KEPT",
    "LONG_HOLD_SWITCH_INTERVALS",
    "VERSION",
    "AttachedWatcher",
    "Beat",
    "BusySums",
    "BusyTree",
    "CallFirst",
    "ContenderReport",
    "EvidenceReport",
    "GcListener",
    "GilHold",
    "Heartbeat",
    "Histogram",
    "Knock",
    "KnockTally",
    "Knocker",
    "LogFile",
    "LongWait",
    "LoopSums",
    "LoweredSwitchInterval",
    "Recent",
    "ReporterProcess",
    "RunForever",
    "RunProgram",
    "SegmentReport",
    "SetRunningLoop",
    "StallReport",
    "ThreadInfo",
    "WatchTotals",
    "Watcher",
    "attached_alive",
    "attached_holds",
    "attached_lags",
    "attached_late_now",
    "attached_long_holds",
    "attached_loop_times",
    "attached_stack",
    "attached_time_tree",
    "bridge_workers",
    "close_in_child",
    "close_logs",
    "count_loops",
    "countdown_bridge",
    "countdown_held",
    "countdown_released",
    "countdown_tokio",
    "current_frames",
    "ends_process",
    "find_process",
    "gil_unreadable",
    "loop_times",
    "loops_alive",
    "monotonic",
    "recent",
    "recent_trace",
    "run_queue_delay",
    "say_in_log",
    "set_program_packages",
    "share_samples",
    "stacks_unreadable",
    "stalled_now",
    "time_tree",
    "trace_after",
    "traced_beats",
    "traced_holds",
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
        """Return, for each of ``bounds``, how many counted durations are not longer.

        Raises ``ValueError`` for an infinity or a NaN.
        """

    def total(self) -> float:
        """Return the sum of all counted durations, to within 0.1 %."""

    def copy(self) -> Histogram:
        """Return an independent histogram with the same counts."""

    def __len__(self) -> int:
        """Return how many durations were counted."""

@final
class GcListener:
    """A callback for ``gc.callbacks`` that measures the pauses for garbage collection, and runs no Python code.

    A callback written in Python would itself release the GIL, so native code that allocates would look as if it yielded.
    """

    def __new__(cls, *, keep_from: float | None = None) -> GcListener:
        """Make a listener that keeps the pauses of ``keep_from`` seconds or more one by one; ``None`` keeps none of them.

        Raises ``ValueError`` for an infinity or a NaN.
        """

    def __call__(self, phase: str, info: object, /) -> None:
        """Record a ``phase``, "start" or "stop": the protocol of ``gc.callbacks``."""

    def pauses(self) -> list[tuple[float, float]]:
        """Return the kept pauses as ``(begin, end)``, on the clock of ``monotonic``."""

@final
class LongWait:
    """A wait in which one thread kept the GIL from all others for long."""

    @property
    def start(self) -> float:
        """When the wait began, on the clock of ``monotonic``: ``start`` of the knock."""

    @property
    def end(self) -> float:
        """Until when one thread had kept the GIL."""

    @property
    def held(self) -> float:
        """For how many seconds from ``start`` that thread was seen to hold the GIL, at each look."""

    @property
    def thread(self) -> str:
        """Name of the thread that kept it; ``""`` if ``threading`` does not know it."""

    @property
    def stack(self) -> list[tuple[str, int, str]]:
        """File, line and function, innermost frame first. Empty if the thread may have moved on."""

@final
class Knocker:
    """A native thread that asks for the GIL at random moments (exponential gaps), and measures how long it waits.

    One such attempt is called a knock. It holds the GIL for some hundred nanoseconds and runs no Python code. If the thread
    still runs at interpreter exit, ``atexit`` stops it. In a forked child, where the thread does not exist, ``stop`` does
    nothing and every other method raises ``RuntimeError``. The methods keep the GIL unless they say otherwise.
    """

    def __new__(
        cls,
        *,
        mean_gap: float,
        watched: int | None,
        keep: int,
        ordinary: bool = False,
        lowered: float | None = None,
        stacks_over: float | None = None,
    ) -> Knocker:
        """Make a knocker that knocks every ``mean_gap`` seconds on average and keeps the first ``keep`` knocks.

        ``watched`` is the native id of a thread of this process, whose CPU time and run-queue delay are read at each knock.
        The thread asks the system to be run first, unless ``ordinary``: then it waits as a thread of the program does. With
        ``lowered`` it lowers the switch interval to that many seconds for four fifths of the time, and is ordinary in the rest.
        With ``stacks_over`` it also sees which thread keeps the GIL for longer than that many seconds, and where.
        ``ValueError`` if ``mean_gap`` is under a microsecond.
        """

    def start(self) -> None:
        """Start the thread, and return after its first attach. The GIL is released meanwhile.

        ``RuntimeError`` the second time, when the interpreter is shutting down, and if the system cannot start a thread.
        """

    def stop(self) -> None:
        """Stop the thread, and return once it has ended. The GIL is released meanwhile. Does nothing the second time."""

    def __enter__(self) -> Knocker:
        """Start the thread like ``start``, in one step that no signal handler can interrupt."""

    def __exit__(self, *exception: object) -> None:
        """Stop the thread like ``stop``."""

    def long_waits(self) -> list[LongWait]:
        """Return the waits that were longer than ``stacks_over``, at most 1000; none where the GIL cannot be read."""

    def write_wait(self, fd: int, period: float) -> None:
        """Start a thread that never attaches, and writes to ``fd`` every ``period`` seconds how long the current wait has lasted.

        It overwrites the first line of the file, two floats of seconds: the wait, 0 if no knock waits, and the CPU time of
        the process so far, without its sampling threads. ``stop`` ends it. The GIL is released while the thread starts. ``OSError`` if the system cannot
        start another thread.
        """

    def end_process_if_stuck(self, fd: int, after: float, message: str) -> None:
        """Start a thread that never attaches, and ends the process if the GIL is not released any more.

        If a wait has lasted for ``after`` seconds, and the process computed for less than a twentieth of them, it writes
        ``message`` to ``fd`` and ends the process with status 1. ``stop`` ends the thread. ``OSError`` as for ``write_wait``.
        """

    def tally(self) -> KnockTally:
        """Return what was counted since the start, including the current wait."""

    def wait_quantile(self, q: float) -> float | None:
        """Return the wait, to within 0.1 %, that a share ``q`` (0 to 1) of the knocks did not exceed; ``None`` without knocks.

        ``ValueError`` if ``q`` is not from 0 to 1.
        """

    def knocks(self) -> list[Knock]:
        """Return the knocks that were kept, in order. One that is still waiting is not among them."""

@final
class KnockTally:
    """Sums up to a moment: the difference of two of them is about the time in between. Times are seconds."""

    @property
    def elapsed(self) -> float:
        """The time since the first attach; 0 before it."""

    @property
    def waited(self) -> float:
        """The time spent waiting for the GIL."""

    @property
    def knocks(self) -> int:
        """How many knocks there were."""

    @property
    def held(self) -> int:
        """How many of them found the GIL held."""

    @property
    def longest(self) -> float:
        """The longest wait."""

    @property
    def waiting(self) -> float:
        """How long the current knock has waited; 0 if there is none. The other figures include it."""

@final
class Knock:
    """One knock. Times are seconds; those of a thread are 0 if the system does not provide them.

    If the watched thread was blocked but other threads of the process were not, the figures are those of another thread
    instead: the one with the longest run-queue delay. This is only done in a process with at most 16 other threads.
    """

    @property
    def start(self) -> float:
        """When the knock asked for the GIL, on the clock of ``monotonic``."""

    @property
    def wait(self) -> float:
        """How long it waited for the GIL."""

    @property
    def slept(self) -> int | None:
        """How often the knocker slept while it waited: 0 if the GIL was free, otherwise once per switch interval.

        ``None`` if the system does not report it.
        """

    @property
    def kept(self) -> float | None:
        """For how much of the wait, from its beginning, the thread that had the GIL kept it from all others: a lower bound.

        It may have released the GIL meanwhile, but no other thread acquired it. ``None`` if this is unknown.
        """

    @property
    def lowered(self) -> bool:
        """Whether the knocker had lowered the switch interval when the knock began."""

    @property
    def held(self) -> bool:
        """Whether the knock found the GIL held."""

    @property
    def state(self) -> Literal["unknown", "running", "runnable", "blocked"] | None:
        """What the watched thread was doing when the knock began; ``None`` if the system does not report it."""

    @property
    def of_other_thread(self) -> bool:
        """Whether ``state`` and the figures that follow are those of another thread, because the watched one was blocked."""

    @property
    def ran_before(self) -> float:
        """CPU time of the watched thread between the last knock and this one."""

    @property
    def ran(self) -> float:
        """CPU time of the watched thread during the wait."""

    @property
    def queued_before(self) -> float:
        """Run-queue delay of the watched thread that Linux counted between the last knock and this one.

        Linux counts a delay when the thread runs again, so the delay may have begun earlier.
        """

    @property
    def queued(self) -> float:
        """Run-queue delay of the watched thread that Linux counted during the wait."""

    @property
    def own_queued_before(self) -> float:
        """Run-queue delay of the knocker's own thread between the last knock and this one."""

    @property
    def own_queued(self) -> float:
        """Run-queue delay of the knocker's own thread during the wait."""

@final
class LoweredSwitchInterval:
    """A context in which Python's switch interval is at most ``interval`` seconds. It always restores the interval.

    Entering and leaving are one step each, so no exception of a signal handler can come in between. If several contexts
    overlap, in any threads, the lowest ``interval`` counts, and the last one that is left restores what there was before
    the first, to the microsecond. The GIL is released only while another thread enters or leaves.
    """

    def __new__(cls, *, interval: float) -> LoweredSwitchInterval:
        """Raise ``ValueError`` under a microsecond and over an hour."""

    def __enter__(self) -> float:
        """Lower the switch interval; return what it was before the first context lowered it."""

    def __exit__(self, *exception: object) -> None: ...

def monotonic() -> float:
    """Return the time on the clock that knocks use, which is that of ``time.monotonic``."""

def run_queue_delay(thread: int) -> float | None:
    """Return the run-queue delay so far of the thread of this process with this native id; ``None`` if it is unknown."""

def ends_process(number: int) -> bool:
    """Whether this process ends at once if the calling thread sends it the signal ``number`` now.

    It does if the signal has its default action, which is to end the process, and the thread does not block the signal.
    """

VERSION: Final[str]
"""The version of gilscope."""
GIL_UNREADABLE_CODES: Final[tuple[str, ...]]
"""Every code that :func:`gil_unreadable` and :attr:`Watcher.gil_unreadable` may return."""
CANNOT_ATTACH_CODES: Final[tuple[str, ...]]
"""Every code of a reason why :func:`find_process` finds no interpreter."""
LONG_HOLD_SWITCH_INTERVALS: Final[int]
"""A hold is long if it takes more than this many switch intervals."""
BEATS_KEPT: Final[int]
"""How many beats a watch that traces keeps, the latest ones."""
HOLDS_KEPT: Final[int]
"""How many holds a watch that traces keeps, the latest ones."""

def current_frames() -> dict[int, FrameType]:
    """Return what ``sys._current_frames`` does. On 3.11 that function can wait for itself for ever, if garbage is collected in it."""

def gil_unreadable() -> str | None:
    """Check whether the holder of the GIL can be read; return the code of the reason if not, ``None`` if it can.

    The codes are in ``GIL_UNREADABLE_CODES``. The check changes the switch interval for some microseconds, and releases
    and acquires the GIL once.
    """

def count_loops(pid: int) -> int | None:
    """Count the threads of another process that run an event loop now; ``None`` if it cannot be attached to."""

def find_process(pid: int) -> tuple[int, int, int]:
    """Find the Python interpreter of another process from its memory; return its version: major, minor, micro.

    Raises ``LookupError`` with two arguments if the process cannot be attached to: the code of the reason, one of
    ``CANNOT_ATTACH_CODES``, and what the reason is about, which may be empty: the version that was found, or the process
    that the thread with this id belongs to. The process is not stopped and not written to.
    """

def stacks_unreadable() -> str | None:
    """Check whether Python stacks can be read without the GIL; return the code of the reason if not, ``None`` if they can.

    The codes are in ``GIL_UNREADABLE_CODES``. The check calls some functions of its own, and compares their stacks with
    what Python says of them.
    """

@final
class Watcher:
    """The native half of a watch. It starts two threads when it is made, and a third for a heartbeat file; :meth:`close` ends them.

    The sampler reads the GIL's holder and the heartbeats every ``sample`` seconds on average, and never attaches. The prober
    attaches at random moments, every ``probe`` seconds on average, and also when a loop is late by half of ``stall``. A
    loop's heartbeat is due every ``heartbeat`` seconds. All moments are on the clock of ``time.monotonic``.

    In a forked child, whose threads do not exist, ``close`` does nothing and every other method raises ``RuntimeError``. The
    methods keep the GIL unless they say otherwise.
    """

    def __new__(
        cls,
        *,
        stall: float,
        heartbeat: float,
        sample: float,
        probe: float,
        trace: bool,
        read_gil: bool,
        current_task: Callable[[AbstractEventLoop], object],
        logs: LogSettings | None = None,
        hang: float | None = None,
        exits: bool = False,
        heartbeat_file: bytes | None = None,
        dump_signal: int | None = None,
    ) -> Watcher:
        """Start to watch.

        The signal ``dump_signal`` makes :meth:`next_stall` return. :meth:`close` restores the program's own handler.

        ``current_task`` returns a loop's current task, and must run no Python code. Without ``read_gil`` no interpreter
        memory is read. With ``trace`` holds and beats are kept one by one. Each of ``logs`` starts another thread, and
        :func:`close_logs` ends it. ``ValueError`` for a time that is not above 0, ``OSError`` if the system cannot start a
        thread.

        After ``hang`` seconds without a heartbeat of a loop, all stacks are written to the standard error of now, and the
        process ends if it ``exits``. ``heartbeat_file`` is an absolute path; ``OSError`` if the file cannot be written,
        ``ValueError`` if it is none of ours. Releases and acquires the GIL once, like ``gil_unreadable``.
        """

    @property
    def began(self) -> float:
        """When the watch began."""

    @property
    def stacks_unreadable(self) -> str | None:
        """The code of the reason why stacks cannot be read without the GIL; ``None`` if they can."""

    @property
    def gil_unreadable(self) -> str | None:
        """The code of the reason why the holder of the GIL cannot be read; ``None`` if it can."""

    @property
    def system_calls_hidden(self) -> bool:
        """Whether the system has refused to report what a thread of this process is waiting for."""

    @property
    def gc_listener(self) -> GcListener:
        """The callback that must be in ``gc.callbacks`` while the watch lasts."""

    def add_heartbeat(self) -> Heartbeat:
        """Return the heartbeat of one more loop."""

    def remove_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Stop watching a loop. A stall of it that has not been reported yet still will be."""

    def start_reporter(self, report: Callable[[Watcher], object]) -> None:
        """Call ``report`` with this watcher in a new thread of Python that blocks all signals."""

    def next_stall(self, timeout: float = ...) -> StallReport | None:
        """Wait, with the GIL released, for the next stall that is over.

        ``None`` once the watch is closed and all are taken, if none comes within ``timeout`` seconds, and when
        :meth:`take_dump_requests` has something to return.
        """

    def take_dump_requests(self) -> int:
        """Return how often the process has received ``dump_signal`` since the last call."""

    def leave_dump_signal(self) -> None:
        """Give ``dump_signal`` back to the program, unless it has installed a handler since. In a forked child too."""

    @property
    def has_ended(self) -> bool:
        """Whether ``next_stall`` returns no more stalls."""

    def totals(self) -> WatchTotals:
        """Return the sums up to now."""

    def close(self) -> None:
        """End the threads and wait for them, with the GIL released: some milliseconds."""

@final
class LogFile:
    """The file of a log. It is open until a watch that writes to it ends, and is opened again when that is started again.

    What was opened by a path is also opened again after the program has closed it.
    """

    @staticmethod
    def at(path: bytes) -> LogFile:
        """Open the file at ``path`` to append to it; it is made if it does not exist. ``OSError`` if that is impossible."""

    @staticmethod
    def of(descriptor: int) -> LogFile:
        """Open the file again that is open as ``descriptor``. ``OSError`` if that is not open for writing."""

    def close_in_child(self) -> None:
        """Close, in a forked child, the file that its parent opened. A watch that the child starts opens it again."""

def say_in_log(watcher: Watcher, text: str) -> None:
    """Write a line to the log in words, if the watcher has one. Does not wait until it is written."""

def set_program_packages(watcher: Watcher, packages: list[str]) -> None:
    """Name the installed packages that are the program's own, for the lines that the logs name."""

def close_logs(watcher: Watcher) -> None:
    """End the logs of a watcher that is closed when all that waits is written, with the GIL released: at most 0.3 s."""

def loops_alive(watcher: Watcher) -> list[tuple[int, ThreadInfo, str, float]]:
    """Return the loops that run now, the worst first: number, thread, what the loop does, and its age.

    What it does is ``idle``, ``busy``, ``starved`` or ``blocked``. ``RuntimeError`` in a forked child.
    """

def loop_times(watcher: Watcher) -> list[LoopSums]:
    """Return how long each loop was busy and asleep so far, by its number. ``RuntimeError`` in a forked child.

    If there were more than 50, those that have ended and were busy for the shortest time share the number 0.
    """

def time_tree(watcher: Watcher) -> BusyTree:
    """Return where the loops' busy time went so far, by stack. Releases the GIL meanwhile. ``RuntimeError`` in a forked child."""

@final
class AttachedWatcher:
    """Another process, sampled from outside by a native thread that never needs the GIL.

    Moments are on the clock of ``time.monotonic``.
    """

    def __new__(cls, pid: int, *, stall: float, sample: float, trace: bool) -> Self:
        """Find the interpreter and the loops of the process ``pid``, and sample from now on. Releases the GIL meanwhile.

        ``stall`` is the threshold, ``sample`` the mean time between two samples. With ``trace``, the latest holds are kept
        whatever their age. Raises ``LookupError`` like :func:`find_process`, and ``ValueError`` for a time that is not positive.
        """

    @property
    def version(self) -> tuple[int, int, int]:
        """The version of the process's Python."""

    @property
    def began(self) -> float:
        """When the attachment began."""

    @property
    def ended(self) -> bool:
        """Whether the process has ended, or runs another program now. It is not sampled any more then."""

    @property
    def loops(self) -> int:
        """How many event loops have been found so far."""

    @property
    def system_calls_hidden(self) -> bool:
        """Whether the system has refused to report what the thread of a loop is waiting for."""

    def next_stall(self, timeout: float) -> StallReport | None:
        """Wait for the next stall that is over, and return it. Releases the GIL meanwhile.

        ``None`` if none comes within ``timeout`` seconds, and once there will be no more.
        """

    @property
    def has_ended(self) -> bool:
        """Whether ``next_stall`` will return no more stalls."""

    def totals(self) -> WatchTotals:
        """Return the sums up to now."""

    def close(self) -> None:
        """Stop sampling. What was seen stays. Releases the GIL meanwhile."""

def attached_lags(watcher: AttachedWatcher, since: float) -> list[tuple[int, float, float]]:
    """Return the lags of the loops after ``since``: the loop's number, the moment, and the lag.

    One for each 10 ms of a loop's time: as long as the rest of the turn in which the loop was, and 0 while it slept.
    """

def attached_holds(watcher: AttachedWatcher, since: float) -> list[GilHold]:
    """Return the holds of the GIL that ended after ``since``, with the current one."""

def attached_long_holds(
    watcher: AttachedWatcher, since: float
) -> list[tuple[ThreadInfo, float, float, list[tuple[str, int, str]]]]:
    """Return the holds of more than four switch intervals that ended after ``since``, with the current one.

    Thread, start, length, and the stack of the thread while it held the GIL, innermost frame first; empty if it was not read.
    """

def attached_late_now(
    watcher: AttachedWatcher,
) -> list[
    tuple[
        int,
        float,
        str,
        ThreadInfo,
        list[tuple[str, int, str]],
        tuple[ThreadInfo, list[tuple[str, int, str]]] | None,
    ]
]:
    """Return what each loop does now that is late by more than the threshold, as of some milliseconds ago.

    The loop's number, since when it is late, the cause so far, the loop's thread and its stack, and the other thread that holds the
    GIL with its stack.
    """

def attached_alive(watcher: AttachedWatcher) -> list[ThreadInfo]:
    """Return the Python threads of the process that are alive. Releases the GIL meanwhile."""

def attached_stack(watcher: AttachedWatcher, native_id: int) -> list[tuple[str, int, str]]:
    """Return what a thread runs now, innermost frame first; empty if its stack cannot be read. Releases the GIL meanwhile."""

def attached_loop_times(watcher: AttachedWatcher) -> list[LoopSums]:
    """Return how long each loop was busy and asleep."""

def attached_time_tree(watcher: AttachedWatcher) -> BusyTree:
    """Return where the loops' busy time went so far, by stack. Releases the GIL meanwhile."""

@final
class LoopSums:
    """How long a loop was busy and asleep, from its first sample on."""

    @property
    def loop(self) -> int:
        """The loop's number; 0 for all loops that share their time."""

    @property
    def thread(self) -> ThreadInfo:
        """The loop's thread."""

    @property
    def busy(self) -> float:
        """Seconds not asleep in its selector."""

    @property
    def asleep(self) -> float:
        """Seconds asleep in its selector."""

    @property
    def saturated(self) -> float:
        """Seconds in stretches of 10 s or longer over which the loop was busy for more than 90 % of the time."""

@final
class BusyTree:
    """Where the busy time of loops went. Its size is bounded."""

    @property
    def frames(self) -> list[tuple[str, int, str]]:
        """File, line and function of each frame, once."""

    @property
    def stacks(self) -> list[BusySums]:
        """In no order. Their seconds add up to those for which the loops were busy."""

@final
class BusySums:
    """The time in which a busy loop did one thing at one stack."""

    @property
    def loop(self) -> int:
        """The loop's number."""

    @property
    def doing(self) -> str:
        """A ``LoopDoing`` of ``gilscope.records.loop_time``."""

    @property
    def seconds(self) -> float:
        """How long."""

    @property
    def frames(self) -> list[int]:
        """Indices into ``BusyTree.frames``, outermost first; empty if the stack was not read, or for the time of many stacks."""

    @property
    def above(self) -> int | None:
        """How many of the frames lie above the one from which the loop calls its callbacks; ``None`` if that is unknown."""

    @property
    def task(self) -> str | None:
        """The name of the task, unless asyncio has chosen it."""

    @property
    def coroutine(self) -> str | None:
        """The qualified name of the task's coroutine."""

    @property
    def holder(self) -> ThreadInfo | None:
        """While the loop waited for the GIL: the thread that held it, if that is known."""

    @property
    def holder_frames(self) -> list[int]:
        """That thread's stack, as ``frames``; empty if it was not read."""

def close_in_child(watcher: Watcher) -> None:
    """Close, in a forked child, the files of its parent's watch. Does nothing elsewhere."""

def share_samples(watcher: Watcher, reporter: ReporterProcess) -> None:
    """Have the watcher's sampler note in the reporter's page when it ran, and since when a loop is late."""

def stalled_now(watcher: Watcher) -> list[tuple[ThreadInfo, int, float]]:
    """Return the loops that are stalled now: thread, ident of the thread, and when the late beat was due."""

def traced_holds(watcher: Watcher) -> list[GilHold]:
    """Return the last ``HOLDS_KEPT`` holds, and the current one, in order; empty if the watch does not trace.

    If none had to be dropped, their sum is ``WatchTotals.held``. ``RuntimeError`` in a forked child.
    """

def traced_beats(watcher: Watcher) -> list[Beat]:
    """Return the last ``BEATS_KEPT`` beats of all loops, in order, to the microsecond; empty if the watch does not trace.

    ``RuntimeError`` in a forked child.
    """

def trace_after(
    watcher: Watcher, *, beat_ns: int, hold_ns: int, complete: bool
) -> tuple[bytes, bytes, list[tuple[int, str]]]:
    """Return the beats and the holds that ended after two moments, and the names of the holds' threads.

    Both are packed native 64-bit integers, in order: moment and lag of a beat in nanoseconds; native id of the thread, start
    and end of a hold. Empty if the watch does not trace. The holds include the current one if ``complete``.
    """

def recent(watcher: Watcher, *, since: float, max_bins: int, seconds_per_bin: float, max_tracks: int) -> Recent:
    """Return what the watcher saw from ``since`` on, or from when all was kept on, whichever is later. Releases the GIL.

    Its timeline has up to ``max_bins`` bins of at least ``seconds_per_bin``, and the ``max_tracks`` threads that held the GIL
    for longest have a track each. ``RuntimeError`` in a forked child.
    """

def recent_trace(watcher: Watcher, *, since: float) -> tuple[bytes, bytes, list[tuple[int, str]]]:
    """Return the single beats and holds from ``since`` on, packed as by :func:`trace_after`, whether the watch traces or not.

    At most the last ``BEATS_KEPT`` and ``HOLDS_KEPT``. Releases the GIL. ``RuntimeError`` in a forked child.
    """

@final
class Recent:
    """A stretch of time, and what a watch saw in it. Moments are on the clock of ``time.monotonic``."""

    @property
    def begin(self) -> float:
        """When it begins."""

    @property
    def end(self) -> float:
        """The last sample."""

    @property
    def samples(self) -> int:
        """How many samples were taken. This, ``collected``, ``cost`` and ``lost`` may begin up to a second earlier."""

    @property
    def held(self) -> float:
        """Seconds in which the GIL was held."""

    @property
    def held_by(self) -> list[tuple[ThreadInfo, float]]:
        """The same by thread, the longest holder first."""

    @property
    def waits(self) -> Histogram:
        """How long each probe waited for the GIL."""

    @property
    def lags(self) -> Histogram:
        """How late the loops were, as in :attr:`WatchTotals.lags`."""

    @property
    def collected(self) -> float:
        """Seconds in the garbage collector."""

    @property
    def cost(self) -> float:
        """CPU time of the watch's own threads."""

    @property
    def lost(self) -> int:
        """Stalls that were not taken in time."""

    @property
    def loops(self) -> list[LoopSums]:
        """How long each loop was busy and asleep. This may begin up to a second earlier, too."""

    @property
    def width(self) -> float:
        """The width of a bin."""

    @property
    def worst(self) -> list[float | None]:
        """The longest lag in each bin; ``None`` if no loop ran."""

    @property
    def tracks(self) -> list[tuple[ThreadInfo, list[float]]]:
        """A thread, and how long it held the GIL in each bin. The thread with id 0 stands for all others."""

@final
class ReporterProcess:
    """A process that is not a child of this one, and the socket to it. Nothing is sent in a forked child."""

    def __new__(cls, argv: list[bytes]) -> ReporterProcess:
        """Start ``argv``, with the socket, the page and a pidfd of this process as descriptors 3, 4 and 5.

        The process gets this one's environment, directory, user and standard error, and no other of its files. ``OSError`` if
        the system refuses; ``RuntimeError`` in a process that reaps orphans, such as process 1.
        """

    def send(self, message: bytes) -> bool:
        """Send a message, with the GIL released. Return ``False`` if the socket still has no room for the rest of the last."""

    def finish(self, message: bytes, timeout: float) -> bool:
        """Send the last message, and wait with the GIL released until it is answered. Return whether it was."""

    @property
    def stage(self) -> int:
        """The stage in the page; only to be set."""

    @stage.setter
    def stage(self, stage: int) -> None: ...
    def close_in_child(self) -> None:
        """Close the socket in a forked child."""

    def report_on(self, number: int) -> None:
        """Count the signals ``number`` in the page from now on. The handler is native: it runs whatever holds the GIL."""

@final
class CallFirst:
    """``function`` with a call of ``first`` before it, with the same arguments. Behaves like ``function`` else.

    If ``function`` returns, ``then`` is called with what ``first`` returned. What these two raise is handled as by
    ``SetRunningLoop``.
    """

    def __new__(
        cls, function: Callable[..., Any], first: Callable[..., object], then: Callable[[Any], object] | None = None
    ) -> CallFirst: ...
    def __call__(self, *arguments: Any, **keywords: Any) -> Any: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class SetRunningLoop:
    """Stands in for ``asyncio.events._set_running_loop``: native, so that it has no frame.

    It calls ``set``, and then ``end`` with the loop that ran before in this thread, and ``begin`` with the one that runs now,
    unless they are the same. Exceptions that these two raise are not passed on, except for those that are not an
    ``Exception``, which come from a signal handler.
    """

    def __new__(
        cls,
        *,
        set: Callable[[AbstractEventLoop | None], object],  # noqa: A002 - only a keyword
        get: Callable[[], AbstractEventLoop | None],
        begin: Callable[[AbstractEventLoop], object],
        end: Callable[[AbstractEventLoop], object],
    ) -> SetRunningLoop: ...
    @property
    def original(self) -> Callable[[AbstractEventLoop | None], object]:
        """The function ``set``."""

    def __call__(self, event_loop: AbstractEventLoop | None, /) -> None: ...

@final
class RunForever:
    """Stands in for the ``run_forever`` of a native class of event loops, and has no frame either.

    It calls ``begin`` with the loop, then ``run_forever``, then ``end``.
    """

    def __new__(
        cls,
        run_forever: Callable[..., object],
        *,
        begin: Callable[[AbstractEventLoop], object],
        end: Callable[[AbstractEventLoop], object],
    ) -> RunForever: ...
    def __get__(self, event_loop: AbstractEventLoop | None, class_: object = None, /) -> object: ...
    def __call__(self, event_loop: AbstractEventLoop, /, *args: object, **kwargs: object) -> object: ...

@final
class RunProgram:
    """A ``sys.excepthook`` that runs the main program, with no frame beneath the program's own, and ends the process after it.

    It calls ``prepare`` and runs what that returns: the descriptor of a source file, which it closes, or a code object, with
    the globals, whose ``__file__`` is the name of the file; or a function and a tuple of its arguments. What follows is as
    after the main program of ``python``, exit status and printed traceback included. If an exception ends the program with an
    exit status other than 0, it calls ``failed`` with its class before it is printed, and after a ``KeyboardInterrupt`` has
    been printed it calls ``interrupted``.
    """

    def __new__(
        cls,
        *,
        prepare: Callable[
            [], tuple[CodeType | int, dict[str, object]] | tuple[Callable[..., object], tuple[object, ...]]
        ],
        failed: Callable[[type[BaseException]], object],
        interrupted: Callable[[], object],
    ) -> RunProgram: ...
    def __call__(self, *exception: object) -> None: ...

@final
class Heartbeat:
    """One loop's heartbeat. All methods but ``stop`` must be called in the loop's thread; they keep the GIL."""

    def fileno(self) -> int | None:
        """Return a file that is readable from when a beat is due until the next one is expected.

        ``None`` if the process may not open another file.
        """

    @property
    def has_beaten(self) -> bool:
        """Whether a beat has ever come."""

    def start(self, *, event_loop: AbstractEventLoop, ident: int, native_id: int, proven: bool) -> None:
        """Expect the first beat in ``heartbeat`` seconds, from the thread with these ids.

        If the loop is not ``proven`` to run callbacks that are due, its lag counts only once the first beat has come.
        """

    def part_from_parent(self) -> None:
        """In a forked child: put a timer that never expires in the place of the one that the child shares with its parent."""

    def runs_above(self, depth: int, root: int) -> None:
        """State from where the loop calls its callbacks: the frame's depth, 1 for the outermost, and the id of the outermost code."""

    def beat(self) -> None:
        """Count the expected beat as come now, and expect the next one in ``heartbeat`` seconds."""

    def stop(self) -> None:
        """Count the expected beat as come now, and expect no more. Any thread may call this."""

@final
class ThreadInfo:
    """A thread."""

    @property
    def native_id(self) -> int:
        """As ``threading.get_native_id`` returns it; 0 if it could not be read, or for several threads together."""

    @property
    def name(self) -> str | None:
        """The name that ``threading`` has for it, ``"gilscope"`` for the watch's own; ``None`` if unknown."""

@final
class StallReport:
    """A stall that is over."""

    @property
    def loop(self) -> int:
        """The loop's number, from 1. A loop that is run again gets another number."""

    @property
    def thread(self) -> ThreadInfo:
        """The loop's thread."""

    @property
    def due(self) -> float:
        """When the late beat was due."""

    @property
    def came(self) -> float:
        """When it came."""

    @property
    def noticed(self) -> float | None:
        """When the sampler noticed that the beat was late; ``None`` if it had come by then."""

    @property
    def noticed_holder(self) -> ThreadInfo | None:
        """The thread that held the GIL at that time, if any."""

    @property
    def evidence(self) -> EvidenceReport:
        """Where the time went, in the whole stall. Its contenders have no stacks."""

    @property
    def segments(self) -> list[SegmentReport]:
        """The parts of the stall, in order; one at least. Their evidence adds up to ``evidence``."""

    @property
    def told(self) -> bool:
        """Whether the log in words has room for a line that says that the stall is over."""

@final
class SegmentReport:
    """A part of a stall: the time whose samples are nearer to its stacks than to any others."""

    @property
    def evidence(self) -> EvidenceReport:
        """Where its time went."""

    @property
    def asked(self) -> float | None:
        """When the stacks were requested; ``None`` if none were taken, or if they were read from memory at once."""

    @property
    def attached(self) -> float | None:
        """When the stacks were taken: by the sampler, from memory; or by the prober or the loop's own thread, with the GIL.

        ``None`` if none were taken.
        """

    @property
    def loop_stack(self) -> list[tuple[str, int, str]]:
        """The stack of the loop's thread: file, line and function, innermost frame first; empty if it was not taken in time.

        Of a deep stack both ends are kept, and between them is a frame without a file: its line is the number of frames that
        were left out. Strings that are not UTF-8 are escaped as by ``backslashreplace``.
        """

    @property
    def above(self) -> int | None:
        """How many of these frames lie above the one from which the loop calls its callbacks.

        All, if it is another stack, to which the program has switched; ``None`` if that frame is unknown.
        """

    @property
    def task(self) -> str | None:
        """The name of the loop's current task at that time."""

    @property
    def coroutine(self) -> str | None:
        """The qualified name of that task's coroutine."""

    @property
    def request(self) -> str | None:
        """The method and path of the request that an ASGI application was answering; ``None`` on CPython 3.11."""

@final
class EvidenceReport:
    """Where a late loop's time went, in seconds from when the beat was due."""

    @property
    def sampled(self) -> float:
        """Time that the samples show. It is the sum of ``held``, ``waited``, ``slept``, ``ran_without_gil`` and ``unknown``."""

    @property
    def unsampled(self) -> float:
        """Time that the samples do not show, because the sampler did not run."""

    @property
    def held(self) -> float:
        """The loop's thread held the GIL."""

    @property
    def collected(self) -> float:
        """Of ``held``: in the garbage collector."""

    @property
    def waited(self) -> float:
        """The loop's thread waited for the GIL."""

    @property
    def slept(self) -> float:
        """The loop's thread slept in the kernel for something else."""

    @property
    def ran_without_gil(self) -> float:
        """The loop's thread ran, or was runnable, without the GIL."""

    @property
    def unknown(self) -> float:
        """The loop's thread slept on a lock, which may have been the GIL's or another."""

    @property
    def ran(self) -> float | None:
        """CPU time of the loop's thread; ``None`` if the system does not count it."""

    @property
    def queued(self) -> float | None:
        """Run-queue delay of the loop's thread: runnable, and not running. ``None`` if the system does not count it."""

    @property
    def switches(self) -> int:
        """How often another thread acquired the GIL."""

    @property
    def contenders(self) -> list[ContenderReport]:
        """The threads that held the GIL while the loop waited for it, in no order; 32 at most."""

@final
class ContenderReport:
    """A thread that held the GIL while the loop waited for it, or slept. All figures but the stack are seconds."""

    @property
    def thread(self) -> ThreadInfo:
        """The thread."""

    @property
    def held(self) -> float:
        """How long it held the GIL while the loop waited."""

    @property
    def held_long(self) -> float:
        """Of ``held``: in holds of more than ``LONG_HOLD_SWITCH_INTERVALS`` switch intervals, run-queue delay subtracted."""

    @property
    def longest(self) -> float:
        """Its longest hold, counted from its beginning, even if that was before the loop was late."""

    @property
    def queued(self) -> float:
        """Its run-queue delay in its holds of more than two switch intervals."""

    @property
    def collected(self) -> float:
        """Of ``held``: in the garbage collector."""

    @property
    def held_while_loop_slept(self) -> float:
        """How long it held the GIL, in long holds, while the loop's thread slept in the kernel for something else."""

    @property
    def stack(self) -> list[tuple[str, int, str]]:
        """Its stack: file, line and function, innermost frame first; empty if it was not taken in time."""

@final
class WatchTotals:
    """Sums since the watch began, in seconds. They only grow."""

    @property
    def elapsed(self) -> float:
        """From the beginning to the last sample."""

    @property
    def samples(self) -> int:
        """How many samples were taken."""

    @property
    def held(self) -> float:
        """How long the GIL was held; 0 if its holder cannot be read."""

    @property
    def held_by(self) -> list[tuple[ThreadInfo, float]]:
        """The same by thread, in no order."""

    @property
    def waits(self) -> Histogram:
        """How long each probe waited for the GIL: a copy."""

    @property
    def lags(self) -> Histogram:
        """How late the loops were: a copy. A late beat also counts for those that would have been due meanwhile."""

    @property
    def collected(self) -> float:
        """Time in the garbage collector."""

    @property
    def cost(self) -> float:
        """CPU time of the watch's two threads."""

    @property
    def lost(self) -> int:
        """Stalls that were dropped, because more than 1000 waited for :meth:`Watcher.next_stall`."""

    @property
    def log_dropped(self) -> int:
        """Lines of JSON that were left out of the log."""

@final
class GilHold:
    """A stretch in which one thread held the GIL."""

    @property
    def thread(self) -> ThreadInfo:
        """The thread."""

    @property
    def start(self) -> float:
        """When the hold began."""

    @property
    def end(self) -> float:
        """When it ended, or was last seen if it is the current one."""

@final
class Beat:
    """One beat of a loop."""

    @property
    def at(self) -> float:
        """When it came."""

    @property
    def lag(self) -> float:
        """How late it was, in seconds."""

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

    @staticmethod
    def hold_in_pieces(n: int, pieces: int) -> int:
        """Count ``n`` down to 0 with the GIL held, ``pieces`` times; return the number of decrements.

        Between two pieces the GIL is released for as long as it takes to acquire it again.
        """

    @staticmethod
    def set_full_rate_at_start(duration: float) -> float:
        """Let the watches that start from now on sample at their full rate for so many seconds, instead of 3.

        Return the seconds that were set before.
        """

    @staticmethod
    def fill_rings(watcher: Watcher, count: int, threads: int) -> int:
        """Add ``count`` holds of 1 ms by ``threads`` threads, beats and probes to what ``watcher`` keeps of the last minutes.

        Return how many bytes all of that takes.
        """

    @staticmethod
    def cause_so_far(evidence: Evidence, *, duration: float, threshold: float, reads_gil: bool) -> str:
        """Return the cause that the native half sees in the evidence of a stall of ``duration``."""

    @staticmethod
    def choose_line(
        rules: LineRules, packages: list[str], frames: list[tuple[str, int, str]], above: int | None
    ) -> tuple[int, int, int | None, int | None]:
        """Return where the frames of the callback begin and end, and the indices of its line and of the whole stack's.

        ``packages`` are the installed packages that are the program's own; ``above`` is as for ``callback_frames``.
        """

@final
class _TaskReader:
    """Reads the current task and the ASGI request of a thread from memory, for tests.

    What is read is a task's name with the qualified name of its coroutine, or ``None``, and a request as in
    ``GET /report``, or ``None``. Raise ``RuntimeError`` if this interpreter's objects or stacks cannot be read.
    """

    def __new__(cls) -> _TaskReader: ...
    def read(
        self, event_loop: AbstractEventLoop, native_id: int | None = None
    ) -> tuple[tuple[str, str] | None, str | None]:
        """Read, on a native thread while the caller holds the GIL, what ``event_loop`` does in the thread with this native id.

        It is the calling thread by default. Raise ``RuntimeError`` if its stack cannot be read.
        """

    def read_often(
        self, event_loop: AbstractEventLoop, native_id: int, reads: int
    ) -> list[tuple[tuple[str, str] | None, str | None]]:
        """Read ``reads`` times with the GIL released. Leave out the reads without a stack."""

    def time(self, event_loop: AbstractEventLoop, reads: int) -> tuple[list[int], list[int]]:
        """Read the calling thread ``reads`` times while it holds the GIL.

        Return the nanoseconds that each stack took, then those of each stack with the task and the request.
        """

@final
class _ProcessReader:
    """Another process read from outside, for gilscope's own tests and benches. Any thread may use it, one at a time.

    Threads are given by the native id inside of the process's PID namespace. A stack comes as from :class:`_StackReader`.
    """

    def __new__(cls, pid: int) -> Self:
        """Find the interpreter. Raises ``LookupError`` as :func:`find_process` does."""

    def version(self) -> tuple[int, int, int]:
        """Return the version of Python."""

    def threads(self) -> list[tuple[int, int, int | None]]:
        """Return the ``ident`` and the native id of each thread, and the id outside; ``None`` if the thread has ended."""

    def stack(self, native_id: int) -> tuple[str, list[tuple[str, str, int | None, int, int]], int]:
        """Read a thread's stack."""

    def thread_name(self, native_id: int) -> str | None:
        """Return the name that ``threading`` has for a thread; ``None`` if ``threading`` has not started the thread."""

    def activity(self, native_id: int) -> str:
        """Return what a thread is doing: ``"runs"``, ``"waits for the GIL"``, ``"sleeps"`` or ``"unknown"``."""

    def times(self, native_id: int) -> tuple[float, float, int] | None:
        """Return a thread's CPU time and run-queue delay in seconds, and how often it was put on a CPU."""

    def is_collecting(self) -> bool:
        """Return whether garbage is collected now."""

    def gil(self) -> tuple[int | None, int]:
        """Return the native id of the thread that holds the GIL, and how often the GIL has changed hands."""

    def switch_interval(self) -> float:
        """Return the switch interval in seconds."""

    def has_ended(self) -> bool:
        """Return whether the process has ended or has replaced its program."""

    def time_gil(self, looks: int) -> list[int]:
        """Return the nanoseconds that each of so many looks at the GIL took."""

@final
class _StackReader:
    """The reader of Python stacks, for gilscope's own tests and benches. Any thread may use it, one at a time.

    A stack comes as a tuple: the certainty (``"proved"``, ``"twice"``) or why there is none (``"no thread"``, ``"no frame"``,
    ``"memory"``, ``"structure"``, ``"changed"``, ``"too deep"``); the frames, innermost first, each as (file, function, line,
    first line, index of the instruction); and how many frames are left out in the middle.
    """

    def __new__(cls) -> Self:
        """Find the interpreter and check the reader. ``RuntimeError`` with the code of the reason if it fails."""

    def threads(self) -> list[tuple[int, int]]:
        """Return the ``ident`` and the native id of each thread."""

    def read(self, native_ids: Sequence[int]) -> list[tuple[str, list[tuple[str, str, int | None, int, int]], int]]:
        """Read these threads' stacks on a native thread, while the calling thread waits with the GIL held."""

    def release_after(self, native_id: int, function: str, reads: int, fd: int) -> None:
        """Start a native thread that waits until a thread's innermost frame is of ``function``.

        Then it reads the thread's stack ``reads`` times and writes a byte to ``fd``: the thread may wait for that with the
        GIL held. The native thread gives up after 30 s.
        """

    def released(self) -> list[tuple[str, list[tuple[str, str, int | None, int, int]], int]]:
        """Return what :meth:`release_after` has read; wait for it with the GIL released."""

    def read_others(
        self, reads: int
    ) -> tuple[list[tuple[int, str, list[tuple[str, str, int | None]]]], dict[str, int]]:
        """Read the stacks of all other threads one after another, ``reads`` times in all. Releases the GIL.

        Return the different stacks, each with its number, its certainty and (file, function, line) of its frames; and how
        many reads found no stack, by reason.
        """

    def time(self, native_id: int, reads: int, cold: bool) -> tuple[list[int], int]:
        """Read a thread's stack ``reads`` times on a native thread, while the calling thread waits with the GIL held.

        Return the nanoseconds that each read took, and how many failed. With ``cold`` each read knows no code object yet.
        """
