"""A watch for a terminal: the lag, the GIL, and where the event loops stalled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from gilscope.formatting import counted, duration
from gilscope.naming import place_of
from gilscope.records.watch_report import WHY_UNWATCHED
from gilscope.reports.ending import ending
from gilscope.reports.saturation import saturated
from gilscope.reports.utilization import utilization
from gilscope.reports.watch_figures import gil, heading, lags, span
from gilscope.watch.cause import REMEDY
from gilscope.watch.snapshots import lag_not_judged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, ConsoleOptions, RenderableType

    from gilscope.records.stall import Part, Site
    from gilscope.records.watch_report import Snapshot, WatchReport

MAX_SITES = 10
MIN_SECONDS_BEFORE_LOOPS_TO_SHOW = 0.5
MIN_SHARE_OF_PART_TO_SHOW = 0.1
"""Of the time of a site's stalls: shorter parts are in the JSON report only."""
INDENT = "   "
WATCH_CHILDREN = (
    ": to watch what they do, run the program in one process (for uvicorn, without --reload and --workers), or start a "
    "gilscope.Watch in each"
)
SYSTEM_CALLS_HIDDEN = (
    "What a sleeping thread waits for is unknown, because the system does not permit reading /proc/self/task/*/syscall (as after "
    "setuid, with file capabilities, or in gVisor): causes come from how long a probe waited for the GIL."
)
CALLS_HIDDEN_FROM_OUTSIDE = (
    "What a sleeping thread waits for is unknown, because the system does not permit reading /proc/PID/task/*/syscall: some causes "
    "are unknown, and a loop of uvloop's is taken to sleep always."
)


class WatchOnTerminal:
    """Everything that a terminal shows of a watch, for rich to print at the terminal's width."""

    def __init__(self, report: WatchReport) -> None:
        self._report = report

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        return parts(self._report, options.max_width)


def parts(report: WatchReport, width: int) -> Iterator[RenderableType]:
    """Yield the figures of a watch and the sites of its stalls, the worst first, in lines of ``width`` characters."""
    yield unbroken(heading(report), style="bold")
    yield from map(Text, span(report))
    yield from map(unbroken, utilization(report, width))
    yield from map(Text, (*lags(report), *gil(report)))
    left_out = (*ending(report.ending), *unseen(report.snapshot, from_outside=report.attached is not None))
    yield from (Text(line, style="yellow") for line in left_out)
    yield from _saturated(report, width)
    yield from _stalls(report, width)


def unseen(seen: Snapshot, *, from_outside: bool = False) -> Iterator[str]:
    """Yield what the figures do not include."""
    if seen.children:
        yield (
            f"{seen.children} child process{'es were' if seen.children > 1 else ' was'} started, but not watched"
            f"{'' if seen.stalls else WATCH_CHILDREN}"
        )
    for unwatched in seen.unwatched_loops:
        why = WHY_UNWATCHED[unwatched.why] + (f": {unwatched.detail}" if unwatched.detail else "")
        yield f"an event loop of {unwatched.name} ran, but was not watched: {why}"
    if seen.elapsed and seen.before_loops >= MIN_SECONDS_BEFORE_LOOPS_TO_SHOW:
        yield f"the first {duration(seen.before_loops)}, before an event loop ran, were not watched"
    if seen.loops_with_own_clock:
        have = (
            "has a clock of its own, and was"
            if seen.loops_with_own_clock == 1
            else "have a clock of their own, and were"
        )
        yield f"{counted(seen.loops_with_own_clock, 'event loop')} {have} not watched"
    if seen.system_calls_hidden:
        yield CALLS_HIDDEN_FROM_OUTSIDE if from_outside else SYSTEM_CALLS_HIDDEN
    if seen.lost:
        yield f"{counted(seen.lost, 'stall')} could not be recorded one by one, and count in the lag only"


def _saturated(report: WatchReport, width: int) -> Iterator[RenderableType]:
    for loop in saturated(report):
        yield ""
        yield Text(loop.claim, style="bold")
        yield from (unbroken(line) for place in loop.lines for line in in_lines(place, width))
        yield _remedy(loop.remedy)
        yield ""


def _remedy(remedy: str) -> Padding:
    return Padding(Text(f"-> {remedy}", style="green"), (0, 0, 0, len(INDENT)))


def _stalls(report: WatchReport, width: int) -> Iterator[RenderableType]:
    seen = report.snapshot
    style = "" if seen.sites else "green" if is_all_clear(report) else "yellow"
    yield Text(stalls(report), style=style)
    for number, site in enumerate(seen.sites[:MAX_SITES], 1):
        yield ""
        yield Text(f"{number}. {what(site)}", style="bold")
        yield from (unbroken(line) for place in where(site) for line in in_lines(place, width))
        yield _remedy(REMEDY[site.cause])
    if more := others(seen):
        yield Text(more)


def unbroken(line: str, style: str = "") -> Text:
    """Return a line that is never broken: a path in it stays a path for whoever clicks or copies it."""
    return Text(line, style=style, no_wrap=True, overflow="ignore")


def in_lines(place: str, width: int) -> Iterator[str]:
    """Yield the indented lines of a place, ``at FILE:LINE in FUNCTION``; only between the two can the line be broken."""
    where, _, function = place.rpartition(" in ")
    if not where or len(INDENT) + len(place) <= width:
        yield INDENT + place
    else:
        yield INDENT + where
        yield f"{2 * INDENT}in {function}"


def stalls(report: WatchReport) -> str:
    seen, threshold = report.snapshot, duration(report.stall)
    count, total = sum(seen.stalls.values()), sum(seen.stalled.values())
    not_judged = _not_judged(report)
    if count:
        also = f"; {not_judged}" if not_judged else ""
        return f"{counted(count, 'stall')} over {threshold}, {total:.2f} s in all{also}:"
    if not_judged:
        return not_judged
    if seen.lost or (report.ending and report.ending.stalls):
        return f"no other stall over {threshold} was seen"
    return _none(report)


def _not_judged(report: WatchReport) -> str:
    """Return a sentence on the longest lag if its stall is not among those recorded; else an empty text."""
    end = report.ending
    lag = lag_not_judged(report.snapshot, report.stall)
    if lag is None or (end and end.stalls):
        return ""
    if end:
        return f"one stall of {duration(lag)} had ended, and its cause was not known yet"
    return f"a lag of {duration(lag)} was measured, but its stall was not judged"


def _none(report: WatchReport) -> str:
    seen = report.snapshot
    if not seen.lags.count:
        was = "watched" if report.attached is None else "seen"
        return f"whether a loop stalls is unknown: no event loop of this process was {was}"
    watched_all = not seen.children and not _unwatched(seen)
    return f"no stall over {duration(report.stall)}" + ("" if watched_all else " in what was watched")


def is_all_clear(report: WatchReport) -> bool:
    """Whether everything was watched, nothing stalled, and no loop was saturated."""
    seen, end = report.snapshot, report.ending
    stalled = sum(seen.stalls.values()) or seen.lost or (end and end.stalls) or _not_judged(report)
    return (
        not stalled
        and not any(saturated(report))
        and bool(seen.lags.count)
        and not seen.children
        and not _unwatched(seen)
    )


def _unwatched(seen: Snapshot) -> bool:
    return bool(seen.unwatched_loops or seen.loops_with_own_clock)


def others(seen: Snapshot) -> str:
    """Return a line on the sites that are not shown; empty if all are."""
    rest = seen.sites[MAX_SITES:]
    return f"and {counted(sum(site.stalls for site in rest), 'stall')} at {len(rest)} other places" if rest else ""


def what(site: Site) -> str:
    times = "once" if site.stalls == 1 else f"{site.stalls} times"
    longest = "" if site.stalls == 1 else f", longest {duration(site.longest)}"
    return f"{site.cause}: {site.stalled:.2f} s, {times}{longest}"


def where(site: Site) -> Iterator[str]:
    """Yield where a site is, where the loop was, and what else the stalls spent time on."""
    if site.culprit:
        yield f"at {place_of(site.culprit)}" + (f" (thread {site.thread})" if site.thread else "")
    elif site.many_places:
        yield "at many places, too many to keep apart"
    elif site.thread:
        yield f"in thread {site.thread}; the line was not sampled"
    if len(site.lines) > 1:
        yield f"lines {', '.join(map(str, site.lines))}"
    if site.innermost:
        yield from _in_a_library(site)
    if site.callback and site.callback != site.culprit:
        yield f"the loop was in {place_of(site.callback)}"
    for part in site.parts:
        if part.seconds >= MIN_SHARE_OF_PART_TO_SHOW * site.stalled and not _is_same_function(part, site):
            at = f" at {place_of(part.culprit)}" if part.culprit else ""
            yield f"of this, {part.cause}: {duration(part.seconds)}{at}"


def _in_a_library(site: Site) -> Iterator[str]:
    """Yield what is known of a request that only the code of libraries answers."""
    such = "requests such as" if site.requests_differ else "request"
    known = [f"{such} {site.request}"] if site.request else []
    known += [f"task {site.task}"] if site.task else []
    innermost = "innermost frames" if site.stalls == 1 else "innermost frames of one stall"
    yield f"none of your code was on the stack{': ' if known else ''}{', '.join(known)}; {innermost}:"
    yield from (place_of(frame) for frame in site.innermost if frame.file)


def _is_same_function(part: Part, site: Site) -> bool:
    """Whether the part is only another line of the function that the site is in."""
    if part.cause != site.cause or not part.culprit or not site.culprit:
        return False
    return (part.culprit.file, part.culprit.function) == (site.culprit.file, site.culprit.function)
