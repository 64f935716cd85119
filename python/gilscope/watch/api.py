"""Watches a running program: reports the cause and the line of every stall of its event loops."""

from __future__ import annotations

import atexit
import inspect
import os
import weakref
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Self

from gilscope.durations import parse_threshold
from gilscope.watch import arguments
from gilscope.watch.loop_time import EMPTY
from gilscope.watch.native import NO_LOOPS
from gilscope.watch.on_stall import NOT_ASYNCHRONOUS
from gilscope.watch.session import Session
from gilscope.watch.settings import Settings
from gilscope.watch.snapshots import empty

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.loop_time import TimeTree
    from gilscope.records.stall import Stall
    from gilscope.records.watch_report import Snapshot
    from gilscope.records.watch_state import WatchState
    from gilscope.watch.arguments import OnHang
    from gilscope.watch.bins import Hold, LoopLag


class Watch:
    """Watches the GIL and the event loops of this process: those that run already, and those that start later.

    Use a watch as a context manager, or call ``start`` and ``stop``. A watch that has been stopped may be started again, and
    begins anew. ``print(watch)`` prints its report.

    ``stall`` is the threshold: a loop that is later than this is stalled. ``sample`` is the mean time between two samples of
    the GIL's holder when it matters most; while nothing happens, up to 18 times as much. ``probe`` is the mean time between two
    moments at which the wait for the GIL is measured. All three are seconds, or strings such
    as ``"50ms"``. ``on_stall`` is called with each ``Stall`` in a thread of the watch, as soon as that thread can acquire the
    GIL after the stall; exceptions that it raises are logged. This thread blocks all signals. ``trace`` keeps the latest
    holds and lags one by one, for a chart. Without ``read_gil`` no interpreter memory is read: then the thread and the line
    of a hog are unknown. ``log`` is where each stall is written to as one line of JSON while it lasts, and as another one
    when it is over: a path, a file descriptor or ``"stderr"``.

    A loop hangs if it has given no heartbeat for as long as ``hang``: seconds, or a string such as ``"30s"``. Then the stacks of
    all threads are written to the standard error that the program had when the watch started, and with ``on_hang="exit"``
    the process ends with status 70, whatever its threads do. A process that is stopped or debugged does not hang.
    ``heartbeat_file`` is the path of a file that says once a second what ``state`` returns, as a line of JSON, for the probe of
    an orchestrator. The watch makes the file, and removes it when it stops.

    The watch keeps the last ten minutes for ``dump``. After a stall longer than ``dump_on`` it writes the minute before the
    stall's end to a JSON file, which ``gilscope report`` prints, in the folder ``dump_dir`` (by default the working directory
    when the watch starts). The latest 20 of these files are kept, and at most one is written in 5 s. When the process receives
    the signal ``dump_signal``, such as ``signal.SIGUSR2``, the last ten minutes are written there.
    """

    def __init__(
        self,
        *,
        stall: float | str = 0.05,
        sample: float | str = 0.001,
        probe: float | str = 0.05,
        on_stall: Callable[[Stall], object] | None = None,
        trace: bool = False,
        read_gil: bool = True,
        log: str | os.PathLike[str] | int | None = None,
        hang: float | str | None = None,
        on_hang: OnHang | None = None,
        heartbeat_file: str | bytes | os.PathLike[str] | os.PathLike[bytes] | None = None,
        dump_on: float | str | None = None,
        dump_dir: str | os.PathLike[str] | None = None,
        dump_signal: int | None = None,
    ) -> None:
        self.stall = parse_threshold(stall, name="stall", least=SHORTEST)
        hangs_after = arguments.hang(hang, stall=self.stall)
        self._settings = Settings(
            stall=self.stall,
            sample=parse_threshold(sample, name="sample", least=SHORTEST),
            probe=parse_threshold(probe, name="probe", least=SHORTEST),
            on_stall=_checked(on_stall),
            trace=trace,
            read_gil=read_gil,
            log=arguments.log_file(log),
            hang=hangs_after,
            on_hang=arguments.on_hang(on_hang, hang=hangs_after),
            heartbeat_file=arguments.heartbeat_file(heartbeat_file),
            dumps=arguments.dumps(on=dump_on, directory=dump_dir, signal=dump_signal, stall=self.stall),
        )
        self._session: Session | None = None

    @property
    def began(self) -> float:
        """``time.monotonic()`` when the watch started; 0 before that."""
        return self._session.began if self._session else 0.0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def __str__(self) -> str:
        if self._session is None:
            return "gilscope watch: not started"
        text: str = resolve_name(resolve_name("gilscope:RESULT_VIEWS")["watch"])(self)
        return text

    def start(self) -> None:
        """Start the watch. Raises ``RuntimeError`` if it is running."""
        session = self._started()
        try:
            session.watcher()
        except BaseException:
            self._session = None
            raise
        self._arm(session)

    def start_with_first_loop(self) -> None:
        """Start the watch when an event loop begins to run. Until then the watch has no threads and measures nothing.

        A program that must have a single thread until its event loop runs stays so: it may fork, or call ``unshare``.
        """
        self._arm(self._started())

    def stop(self) -> None:
        """Stop the watch. ``snapshot`` still returns what it saw. Does nothing if the watch is not running."""
        if self._session is None or self not in _active:
            return
        _active.discard(self)
        atexit.unregister(self.stop)
        self._session.stop()

    def snapshot(self) -> Snapshot:
        """Return what the watch has seen so far; after ``stop``, what it had seen by then. Before ``start``, all is 0."""
        return self._session.snapshot() if self._session else empty()

    def time_tree(self) -> TimeTree:
        """Return where the time of the event loops went while they were busy, by stack; after ``stop``, up to that moment.

        The seconds of all stacks add up to the ``busy`` of ``snapshot().loops``. Empty before ``start``.
        """
        return self._session.time_tree() if self._session else EMPTY

    def state(self) -> WatchState:
        """Return what the event loops do now, and for how long the worst of them has not responded.

        If no loop runs, and while the watch does not run, the state is ``idle`` without an age.
        """
        return self._session.state() if self._session else NO_LOOPS

    def dump(self, path: str | os.PathLike[str]) -> None:
        """Write what the watch saw in the last ten minutes to ``path``; after ``stop``, in the ten minutes before that.

        The suffix chooses the format: ``.json``, ``.html`` or ``.perfetto.json``. A file that is there is replaced. Raises
        ``ValueError`` for another suffix or if ``.html`` needs the extra ``plot``, ``OSError`` if ``path`` cannot be written,
        and ``RuntimeError`` before ``start`` and in a forked child. This takes some milliseconds; for ``.html`` some seconds, in a
        process of its own. In a coroutine, write ``await asyncio.to_thread(watch.dump, path)``.
        """
        if self._session is None:
            raise RuntimeError("this watch has not been started: there is nothing to dump")
        self._session.dump(arguments.dump_path(path))

    @property
    def failed_dumps(self) -> int:
        """How many dumps could not be written, of those that ``dump_on`` and ``dump_signal`` cause. The first is logged."""
        return self._session.dumps.failed if self._session else 0

    def holds(self) -> list[Hold]:
        """Return the latest holds of the GIL, if ``trace`` is on. Times are seconds since the watch began."""
        return self._session.holds() if self._session else []

    def lags(self) -> list[LoopLag]:
        """Return the latest heartbeats, if ``trace`` is on. Times are seconds since the watch began."""
        return self._session.lags() if self._session else []

    def _started(self) -> Session:
        if self in _active:
            raise RuntimeError("this watch is running already: stop it first, or make another one")
        self._session = self._new_session()
        return self._session

    def _new_session(self) -> Session:
        return Session(self._settings)

    def _arm(self, session: Session) -> None:
        _active.add(self)
        atexit.register(self.stop)
        session.arm()

    def _abandon(self) -> None:
        """End the watch in a forked child."""
        atexit.unregister(self.stop)
        if self._session:
            self._session.abandon()


SHORTEST = 1e-6
"""A thread cannot wake up more often than this many seconds apart."""


def _checked(on_stall: Callable[[Stall], object] | None) -> Callable[[Stall], object] | None:
    if on_stall is None:
        return None
    if not callable(on_stall):
        raise TypeError(f"on_stall must be a function to call with each stall, not {on_stall!r}")
    if inspect.iscoroutinefunction(on_stall) or inspect.iscoroutinefunction(getattr(on_stall, "__call__", None)):  # noqa: B004 - not whether, but what it is
        raise TypeError(
            f"on_stall must be an ordinary function, not the coroutine function {on_stall!r}: {NOT_ASYNCHRONOUS}"
        )
    return on_stall


_active: weakref.WeakSet[Watch] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for watch in list(_active):
        watch._abandon()  # noqa: SLF001 - ours
    _active.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
