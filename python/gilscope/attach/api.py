"""Attaches to a running process: says from outside why its event loops stall, and where."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self, cast

from msgspec.structs import replace

from gilscope import _core
from gilscope.attach.live import LongHold, StallNow, Turn
from gilscope.attach.program import arguments_of
from gilscope.attach.session import AttachedSession
from gilscope.records.attached import Attached
from gilscope.records.machine import machine
from gilscope.records.watch_report import WatchReport
from gilscope.watch import stack as frames
from gilscope.watch.bins import Hold, LoopLag, binned
from gilscope.watch.loop_time import tree
from gilscope.watch.native import stack, thread
from gilscope.watch.other_program import judging

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilscope._core import ThreadInfo
    from gilscope.records.loop_time import TimeTree
    from gilscope.records.stall import Cause, Frame, Stall, Thread
    from gilscope.records.timeline import Timeline
    from gilscope.records.watch_report import Snapshot


class Attachment:
    """Samples a running Python process from outside, from when it is made or entered until it is closed.

    The process is only read: it is never stopped, and nothing is written to it. Raises ``gilscope.attach.refusal.CannotAttach`` if it
    cannot be read.

    ``stall`` is the threshold in seconds: a turn of a loop that is longer is a stall. ``sample`` is the mean time between two samples.
    With ``trace``, the report has a timeline, and all single holds are kept for it, up to a limit; otherwise those of the last ten
    minutes.
    """

    def __init__(self, pid: int, *, stall: float = 0.05, sample: float = 0.001, trace: bool = False) -> None:
        self.pid = pid
        self.stall = stall
        self._trace = trace
        self._created = datetime.now(UTC).isoformat(timespec="seconds")
        self.command = arguments_of(pid)
        self._session = AttachedSession(pid, stall=stall, sample=sample, trace=trace)
        self._watcher = self._session.watcher
        self._tree: TimeTree | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop sampling. What was seen stays available."""
        if self._tree is None:
            self._session.stop()
            self._tree = self._take_tree()

    @property
    def python(self) -> str:
        """The version of the process's Python, as in ``3.13.0``."""
        return ".".join(map(str, self._watcher.version))

    @property
    def began(self) -> float:
        """``time.monotonic()`` when the attachment began. All moments count from here."""
        return self._watcher.began

    @property
    def ended(self) -> bool:
        """Whether the process has ended, or runs another program now. What was seen until then stays available."""
        return self._watcher.ended

    @property
    def loops(self) -> int:
        """How many event loops have been found so far."""
        return self._watcher.loops

    def snapshot(self) -> Snapshot:
        """Return the sums so far."""
        return self._session.snapshot()

    def time_tree(self) -> TimeTree:
        """Return what the loops did so far while they were busy."""
        return self._tree or self._take_tree()

    def report(self, command: Sequence[str] | None = None) -> WatchReport:
        """Return the report so far. ``command`` is the process's command line, unless it is given otherwise."""
        seen = self.snapshot()
        return WatchReport(
            version=_core.VERSION,
            created=self._created,
            machine=replace(machine(), gil=True),
            command=tuple(command or self.command),
            stall=self.stall,
            snapshot=seen,
            timeline=self._timeline(seen.elapsed),
            time=self.time_tree(),
            attached=Attached(pid=self.pid, python=self.python),
        )

    def _timeline(self, end: float) -> Timeline | None:
        if not self._trace or not end:
            return None
        return binned(lags=self.lags(0.0), holds=self.holds(0.0), end=end)

    def turns(self, since: float) -> list[Turn]:
        """Return the loops' lags after ``since``, one for each 10 ms.

        A lag is as long as the turn in which the loop was, counted anew every 10 ms of a long turn, and 0 while the loop slept.
        """
        lags = _core.attached_lags(self._watcher, self._on_clock(since))
        return [Turn(loop, at - self.began, seconds) for loop, at, seconds in lags]

    def lags(self, since: float) -> list[LoopLag]:
        """Return the same without the loops' numbers, and with one entry for a long turn."""
        return [LoopLag(turn.end, turn.seconds) for turn in self.turns(since)]

    def holds(self, since: float) -> list[Hold]:
        """Return the holds of the GIL that ended after ``since``, in order."""
        return [
            Hold(hold.thread.native_id, hold.thread.name, hold.start - self.began, hold.end - self.began)
            for hold in _core.attached_holds(self._watcher, self._on_clock(since))
        ]

    def long_holds(self, since: float) -> list[LongHold]:
        """Return the long holds that ended after ``since``, in order; the last may last still."""
        holds = _core.attached_long_holds(self._watcher, self._on_clock(since))
        with judging(self._session.program):
            return [
                LongHold(thread(by), start - self.began, seconds, frames.culprit(stack(read)))
                for by, start, seconds, read in holds
            ]

    def stalls(self, since: float) -> list[Stall]:
        """Return the stalls that ended after ``since``, in order of their ends."""
        return [stall for stall in tuple(self._session.stalls) if stall.end > since]

    def now(self) -> tuple[StallNow, ...]:
        """Return what each loop does that has been late by more than the threshold; empty if none is late."""
        now = _core.monotonic()
        late = _core.attached_late_now(self._watcher)
        with judging(self._session.program):
            return tuple(
                self._late(loop, now - since, cast("Cause", cause), (own, read), holder)
                for loop, since, cause, own, read, holder in late
            )

    def threads(self) -> list[Thread]:
        """Return the process's Python threads that are alive."""
        return [] if self.ended else [thread(info) for info in _core.attached_alive(self._watcher)]

    def stack(self, native_id: int) -> tuple[Frame, ...]:
        """Return what the thread runs at this moment, innermost frame first; empty if its stack cannot be read."""
        return stack(_core.attached_stack(self._watcher, native_id))

    def _late(
        self,
        loop: int,
        seconds: float,
        cause: Cause,
        own: tuple[ThreadInfo, Sequence[tuple[str, int, str]]],
        holder: tuple[ThreadInfo, Sequence[tuple[str, int, str]]] | None,
    ) -> StallNow:
        if cause.startswith("starved") or (cause == "garbage collection" and holder):
            by, read = holder or (None, ())
            return StallNow(loop, seconds, cause, frames.culprit(stack(read)), thread(by) if by else None)
        if cause in {"no CPU", "unknown"}:
            return StallNow(loop, seconds, cause, None, None)
        by, read = own
        return StallNow(loop, seconds, cause, frames.culprit(frames.callback_frames(stack(read))), thread(by))

    def _take_tree(self) -> TimeTree:
        with judging(self._session.program):
            return tree(_core.attached_time_tree(self._watcher))

    def _on_clock(self, since: float) -> float:
        return max(0.0, self.began + since)
