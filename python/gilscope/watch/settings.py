"""What a session is given: the arguments of a watch, and who listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from gilscope.watch.dumps import DumpSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope._core import LogFile, Watcher
    from gilscope.records.stall import Stall
    from gilscope.watch.arguments import OnHang


class Settings(NamedTuple):
    """The arguments of a watch; durations in seconds."""

    stall: float
    sample: float
    probe: float
    on_stall: Callable[[Stall], object] | None
    trace: bool
    read_gil: bool
    log: LogFile | None = None
    """Where a line of JSON is written to for each stall."""
    live: LogFile | None = None
    """Where stalls are named in words."""
    words: Callable[[Stall], str] | None = None
    """Names a stall that is over in words, for ``live``."""
    hang: float | None = None
    on_hang: OnHang = "dump"
    heartbeat_file: bytes | None = None
    dumps: DumpSettings = DumpSettings()


class Listener(Protocol):
    """Receives the events of a session while it lasts. The last two are called in the thread that reports stalls."""

    def started(self, watcher: Watcher) -> None:
        """Called when the native threads start."""

    def child_started(self) -> None:
        """Called when the program has started a child process."""

    def timeout(self) -> float:
        """Return for how many seconds to wait for a stall before ``updated`` is called without one."""

    def updated(self, watcher: Watcher, *, stalled: bool) -> None:
        """Called after each stall, and after each wait."""
