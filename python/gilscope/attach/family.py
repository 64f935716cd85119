"""A process and the Pythons that it has started, attached to together."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, Self

from gilscope.attach.api import Attachment
from gilscope.attach.processes import CannotAttach, children_of
from gilscope.formatting import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gilscope.records.watch_report import WatchReport

SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_BETWEEN_LISTS_OF_CHILDREN = 0.5
MAX_MEMBERS = 100
"""No more processes are attached to: each takes a thread, and some per cent of a core."""


class Member(NamedTuple):
    """One process of the family."""

    attachment: Attachment
    command: tuple[str, ...]


class Family:
    """The processes that are sampled: one, or with ``children`` also all Pythons that it has started and will start.

    Raises :class:`CannotAttach` if the process cannot be attached to and, with ``children``, has no child that can.
    """

    def __init__(self, pid: int, *, children: bool, trace: bool) -> None:
        self.pid = pid
        self.members: list[Member] = []
        self._children = children
        self._trace = trace
        self._resources = ExitStack()
        with ExitStack() as undo:
            undo.callback(self._resources.close)
            try:
                self._attach(pid)
            except CannotAttach:
                if children:
                    self._attach_to_children()
                if not self.members:
                    raise
            if children:
                self._attach_to_children()
            undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._resources.close()

    def run(self, seconds: float, *, say: Callable[[str], object]) -> None:
        """Sample for this long; until Ctrl-C, SIGTERM, or until all processes have ended, if that is earlier."""
        began = time.monotonic()
        listed = began
        ended: set[int] = set()
        with _interrupted() as interrupted:
            while (left := began + seconds - time.monotonic()) > 0:
                if interrupted.wait(min(left, SECONDS_BETWEEN_LOOKS)):
                    break
                now = time.monotonic()
                for member in self.members:
                    pid = member.attachment.pid
                    if member.attachment.ended and pid not in ended:
                        ended.add(pid)
                        say(f"process {pid} ended, or replaced its program, after {duration(now - began)}")
                if self._children and now >= listed + SECONDS_BETWEEN_LISTS_OF_CHILDREN:
                    listed = now
                    self._attach_to_children()
                if len(ended) == len(self.members):
                    break

    def reports(self) -> list[WatchReport]:
        """Return a report for each process: the one whose loops were stalled for longest comes first."""
        reports = [member.attachment.report(member.command) for member in self.members]
        return sorted(reports, key=_badness, reverse=True)

    def attachment_of(self, report: WatchReport) -> Attachment:
        """Return the attachment that a report is of."""
        pid = report.attached and report.attached.pid
        return next(member.attachment for member in self.members if member.attachment.pid == pid)

    def file_for(self, report: WatchReport, file: Path) -> Path:
        """Return where to write a report: ``file`` for that of the process itself, and one with the PID in its name for a child's."""
        pid = report.attached.pid if report.attached else self.pid
        if pid == self.members[0].attachment.pid:
            return file
        stem, dot, suffixes = file.name.partition(".")
        return file.with_name(f"{stem}-{pid}{dot}{suffixes}")

    def _attach(self, pid: int) -> None:
        attachment = Attachment(pid, trace=self._trace)
        self._resources.callback(attachment.close)
        self.members.append(Member(attachment, attachment.command))

    def _attach_to_children(self) -> None:
        known = {member.attachment.pid for member in self.members}
        for child in children_of(self.pid, except_for=known):
            if len(self.members) >= MAX_MEMBERS:
                return
            if child.why_not is not None:
                continue  # it may be about to start Python
            with suppress(CannotAttach):
                self._attach(child.pid)


def _badness(report: WatchReport) -> tuple[float, float]:
    seen = report.snapshot
    return sum(seen.stalled.values()), max((loop.busy for loop in seen.loops), default=0.0)


@contextmanager
def _interrupted() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C and SIGTERM set. After the block they do again what they did before."""
    event = threading.Event()
    before = {number: signal.signal(number, lambda *_: event.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
