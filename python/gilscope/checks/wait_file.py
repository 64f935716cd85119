"""The file in which a child reports the wait for its GIL that is in progress, as its parent reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

MIN_WAIT_OF_A_HOG_SECONDS = 1.0
"""If a wait for the GIL has lasted this long at the timeout, the statement hogs, and the child cannot answer."""


class Report(NamedTuple):
    """What the child has written: the wait in progress, and how long its process computed or waited for a CPU. In seconds."""

    waited: float
    cpu: float


class NoAnswerExpected(Exception):  # noqa: N818 - not an error: it ends the child
    """The child will not answer. ``waited`` is ``None`` if its setup is not done."""

    def __init__(self, waited: float | None, cpu: float = 1.0) -> None:
        self.waited = waited
        self.cpu = cpu
        """Share of the wait in which the child computed."""


class WaitFile:
    """Looks at the file again and again, and ends a child that will not answer."""

    def __init__(self, file: Path, timeout: float, so_far: Path) -> None:
        self.file = file
        self.timeout = timeout
        self.so_far = so_far
        self.first_report: float | None = None
        self.history: list[tuple[float, float]] = []
        """When the child was looked at, and its CPU time then."""

    def report(self) -> Report | None:
        """Return what the child has written; ``None`` before its first report."""
        text = self.file.read_text()
        return Report(*map(float, text.split())) if text.endswith("\n") else None

    def cpu_share(self, report: Report) -> float:
        """Return the share of the wait in progress in which the child computed."""
        began = self.history[-1][0] - report.waited
        at, cpu = next((entry for entry in self.history if entry[0] >= began), self.history[-1])
        elapsed = self.history[-1][0] - at
        return min(1.0, max(0.0, report.cpu - cpu) / elapsed) if elapsed > 0 else 1.0

    def __call__(self, elapsed: float) -> None:
        """Raise :class:`NoAnswerExpected` if the child should have answered, ``elapsed`` seconds after its start."""
        report = self.report()
        if report is not None:
            self.history.append((elapsed, report.cpu))
            if self.first_report is None:
                self.first_report = elapsed
        if elapsed < self.timeout:
            return
        if report is None:
            raise NoAnswerExpected(None)
        # A shorter wait is for a call that ends, as earlier calls did: the child will answer.
        least = 0.0 if self.so_far.exists() else (elapsed - (self.first_report or 0.0)) / 2
        if report.waited >= max(MIN_WAIT_OF_A_HOG_SECONDS, least):
            raise NoAnswerExpected(report.waited, self.cpu_share(report))
