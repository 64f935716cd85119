"""A process that was attached to and has nothing to show: the server of some workers, for example."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.naming import escaped

if TYPE_CHECKING:
    from gilscope.records.watch_report import WatchReport

MAX_SHARE = 0.01
"""Of the GIL: a process that holds it for more has something to show."""


def is_quiet(report: WatchReport) -> bool:
    """Whether a process ran no event loop, and hardly any Python."""
    return report.snapshot.loop_runs == 0 and _held(report) < MAX_SHARE


def in_a_line(report: WatchReport) -> str:
    """Return the one line that is to be said of a quiet process."""
    pid = f"PID {report.attached.pid}" if report.attached else "process"
    return f"{pid} ({escaped(' '.join(report.command))}): no event loop, GIL held {_held(report):.0%} of the time"


def _held(report: WatchReport) -> float:
    seen = report.snapshot
    return (seen.held or 0.0) / seen.elapsed if seen.elapsed else 0.0
