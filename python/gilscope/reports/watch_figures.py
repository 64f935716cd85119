"""The figures of a watch in lines of text, for the terminal and the page: its title, how busy the loops were, the lag, the GIL."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from gilscope.formatting import counted, duration
from gilscope.records.watch_report import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope.records.watch_report import Distribution, WatchReport

MAX_THREADS = 5
MIN_HELD_SHARE_TO_SHOW = 0.005
WHAT_A_TURN_IS = (
    "(seen from outside, by turns: a turn lasts from when a loop leaves its selector until it waits there again)"
)

WHY_WRITTEN = {
    "call": "written by Watch.dump",
    "signal": "written on a signal",
    "stall": "written after a stall longer than dump_on",
}


def heading(report: WatchReport) -> str:
    """Return what was watched, by which command of gilscope, and for how long."""
    return f"gilscope {'watch' if report.attached is None else 'attach'}: {title(report)}"


def title(report: WatchReport) -> str:
    """Return what was watched, and for how long."""
    seen = report.snapshot
    if report.attached is not None:
        process = f"PID {report.attached.pid}, CPython {report.attached.python}"
        return f"{seen.elapsed:.1f} s of {process}: {' '.join(report.command)}"
    if report.excerpt is not None:
        of = f"the last {seen.elapsed:.1f} s of " if report.excerpt.begin else ""
        return f"{of}{report.excerpt.end:.1f} s of {' '.join(report.command)}"
    return f"{seen.before_loops + seen.elapsed:.1f} s of {' '.join(report.command)}"


def span(report: WatchReport) -> Iterator[str]:
    """Yield which part of the watch the report covers, and why it was written, unless it covers the whole watch."""
    if report.excerpt is not None:
        ended = report.excerpt.ended
        with suppress(ValueError):  # the file has been changed by hand
            ended = f"{datetime.fromisoformat(ended):%Y-%m-%d %H:%M:%S}"
        yield f"up to {ended} UTC, {WHY_WRITTEN[report.excerpt.reason]}"


def lags(report: WatchReport) -> Iterator[str]:
    """Yield how late the loops were; of an attached process, also by what that was seen."""
    if report.attached is None:
        yield lag(report)
    elif report.snapshot.lags.count:
        yield f"loop lag: {_quantiles(report.snapshot.lags)}"
        yield WHAT_A_TURN_IS
    else:
        yield "loop lag: no event loop was seen"


def lag(report: WatchReport) -> str:
    seen = report.snapshot
    if seen.lags.count:
        return f"loop lag: {_quantiles(seen.lags)}"
    if seen.loop_runs == 0 and not seen.unwatched_loops:
        later = report.ending is not None and report.ending.unseen
        if later:
            return "loop lag: no event loop was watched"
        return "loop lag: no event loop ran" + (" in this process" if seen.children else "")
    if seen.unwatched_loops:
        return "loop lag: not measured, because the event loop was not watched"
    return "loop lag: no event loop ran long enough to be measured"


def _quantiles(of: Distribution) -> str:
    p50, p99, longest = ("-" if value is None else duration(value) for value in (of.p50, of.p99, of.max))
    return f"p50 {p50}, p99 {p99}, max {longest}"


def _waits(waits: Distribution) -> str:
    if not waits.count:
        return "not measured, the watch was too short"
    return f"{_quantiles(waits)} ({counted(waits.count, 'probe')})"


def gil(report: WatchReport) -> Iterator[str]:
    """Yield who held the GIL, how long threads wait for it, and what the measurement cost."""
    seen, from_outside = report.snapshot, report.attached is not None
    if seen.gil_unreadable is not None:
        yield f"GIL: its holder is unknown, because {UNREADABLE[seen.gil_unreadable]}; causes come from waits, and hogs have no name"
    elif seen.held is not None and seen.elapsed:
        held: dict[str, float] = defaultdict(float)
        for it in seen.held_by:
            held[it.thread] += it.held / seen.elapsed
        shares = sorted(held.items(), key=lambda thread: -thread[1])[:MAX_THREADS]
        threads = ", ".join(f"{thread} {share:.0%}" for thread, share in shares if share >= MIN_HELD_SHARE_TO_SHOW)
        yield f"GIL: held {seen.held / seen.elapsed:.0%} of the time" + (f" ({threads})" if threads else "")
    if seen.gil_unreadable is None and seen.stacks_unreadable is not None:
        yield f"stacks: taken only after the GIL is released, because {UNREADABLE[seen.stacks_unreadable]}"
    if seen.elapsed and (seen.waits.count or not from_outside):
        yield f"wait for the GIL: {_waits(seen.waits)}"
    if seen.elapsed and seen.collected > 0.01 * seen.elapsed:
        yield f"garbage collection: {seen.collected / seen.elapsed:.0%} of the time"
    if seen.elapsed:
        yield f"overhead of {'gilscope' if from_outside else 'the watch'}: {seen.cost / seen.elapsed:.1%} of a CPU"
