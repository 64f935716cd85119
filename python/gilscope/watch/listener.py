"""What a session informs of its events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gilscope._core import Watcher


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
