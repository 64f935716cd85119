"""A made-up process in the view, on a real terminal: ``python -m tests.top.show_service WHAT``."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

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
        self.stalled = troubled(at=60.0).stalled

    def snapshot(self) -> Snapshot:
        self.at = time.monotonic() - self.began
        if self._what == "fails" and self.at > 0.2:
            raise RuntimeError("this view fails")
        if self._what == "ends" and self.at > 0.2:
            self.ended = True
        return super().snapshot()


if __name__ == "__main__":
    live = Running(sys.argv[1])
    why = show(live, threshold=0.05)
    put(TerminalReport(live.report(live.command)))
    print(f"over: {why}")
