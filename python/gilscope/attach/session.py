"""One attachment, from its start to its end: the native sampler, and what it has seen."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

from gilscope._core import AttachedWatcher, attached_loop_times
from gilscope.attach.program import program_of
from gilscope.attach.refusal import CannotAttach
from gilscope.watch.judge import judge
from gilscope.watch.loop_time import times
from gilscope.watch.other_program import judging
from gilscope.watch.sites import Sites
from gilscope.watch.snapshots import snapshot_of

if TYPE_CHECKING:
    from gilscope._core import StallReport
    from gilscope.records.stall import Stall
    from gilscope.records.watch_report import Snapshot

log = logging.getLogger("gilscope")

MAX_STALLS = 1000
"""The latest stalls are kept one by one."""
SECONDS_BETWEEN_LOOKS = 0.5
"""The thread that judges stalls looks this often whether there will be more."""


class AttachedSession:
    """The sampler of a process, and a thread that judges the stalls."""

    def __init__(self, pid: int, *, stall: float, sample: float, trace: bool) -> None:
        try:
            self.watcher = AttachedWatcher(pid, stall=stall, sample=sample, trace=trace)
        except LookupError as error:
            raise CannotAttach.because_of(pid, error) from None
        self.program = program_of(pid, self.watcher.version[1])
        self.stalls: deque[Stall] = deque(maxlen=MAX_STALLS)
        self._stall = stall
        self._sites = Sites()
        self._unrecorded = 0
        self._last: Snapshot | None = None
        self._judge = threading.Thread(target=self._judge_stalls, name="gilscope-attach", daemon=True)
        self._judge.start()

    def stop(self) -> None:
        """Stop sampling. What was seen stays."""
        self.watcher.close()
        self._judge.join()
        self._last = self._take()

    def snapshot(self) -> Snapshot:
        """Return what was seen so far; after ``stop``, what had been seen by then."""
        return self._last or self._take()

    def _take(self) -> Snapshot:
        return snapshot_of(
            self.watcher.totals(),
            self._sites,
            unrecorded=self._unrecorded,
            children=0,
            loop_runs=self.watcher.loops,
            gil_unreadable=None,
            system_calls_hidden=self.watcher.system_calls_hidden,
            loops=times(attached_loop_times(self.watcher)),
        )

    def _judge_stalls(self) -> None:
        with judging(self.program):
            while (report := self.watcher.next_stall(SECONDS_BETWEEN_LOOKS)) is not None or not self.watcher.has_ended:
                if report is not None:
                    self._record(report)

    def _record(self, report: StallReport) -> None:
        try:
            stall = judge(report, stall=self._stall, began=self.watcher.began, reads_gil=True)
            self._sites.add(stall)
        except Exception:
            if not self._unrecorded:
                log.exception("gilscope cannot judge a stall")
            self._unrecorded += 1
            return
        self.stalls.append(stall)
