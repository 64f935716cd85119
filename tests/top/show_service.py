"""A made-up process in the view, on a real terminal: ``python -m tests.top.show_service WHAT``."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import nullcontext, suppress
from math import inf
from typing import TYPE_CHECKING

from gilscope.cli import reader_may_go
from gilscope.reports.console import put
from gilscope.reports.terminal import TerminalReport
from gilscope.top.app import show

from tests.top.service import Service, troubled

if TYPE_CHECKING:
    from gilscope.records.watch_report import Snapshot


class Running(Service):
    """A service whose time passes."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what
        self.began = time.monotonic()
        self._updates = 0
        self.stalled = troubled(at=60.0).stalled
        if what == "stalls":
            self.late = troubled().late

    def snapshot(self) -> Snapshot:
        self.at = time.monotonic() - self.began
        self._updates += 1
        if self._what == "fails" and self._updates > 1:
            raise RuntimeError("this view fails")
        self.ended = self._updates > {"ends": 1, "ends soon": 1}.get(self._what, inf)
        return super().snapshot()


if __name__ == "__main__":
    live = Running(sys.argv[1])
    with reader_may_go(sys.stdout):
        why = show(live, threshold=0.05)
        with suppress(OSError) if why == signal.SIGHUP else nullcontext():
            put(TerminalReport(live.report(live.command)))
            print(f"over: {why}")
