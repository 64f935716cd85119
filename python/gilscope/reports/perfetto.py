"""A demo or a comparison as a trace for ui.perfetto.dev or chrome://tracing.

Each case is a process of the trace. The cases ran one after another, but in the trace all begin at 0, so that they can be
compared. The tracks of a case are its ticks (instants), its lags (slices) and the threads that ran its tasks (slices).
Times are in microseconds. Format: "Trace Event Format" of the Chromium project.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gilscope.formatting import milliseconds
from gilscope.reports.table import where
from gilscope.reports.terminal import title
from gilscope.reports.ticks import late_spans, merged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope.records.result import Lane, Measure, Result
    from gilscope.reports.ticks import Tick

Event = dict[str, Any]
TICKS_TRACK, LAGS_TRACK, FIRST_TASKS_TRACK = 1, 2, 3


def trace(result: Result) -> str:
    """Return the trace as JSON."""
    events: list[Event] = []
    for number, trial in enumerate((result.idle, *result.trials), 1):
        name = trial.case if trial.measure else f"{trial.case} ({trial.status}: {trial.reason})"
        events += [_meta(number, "process_name", name=name), _meta(number, "process_sort_index", sort_index=number)]
        if trial.measure is not None:
            events += (event | {"pid": number} for event in _case(trial.measure))
    about = {"what": title(result), "where": where(result), "gilscope": result.version}
    return (
        json.dumps({"traceEvents": events, "displayTimeUnit": "ms", "otherData": about}, separators=(",", ":")) + "\n"
    )


def _case(measure: Measure) -> Iterator[Event]:
    ticks = merged(measure.ticks, len(measure.ticks.due) or 1)
    yield from _named(TICKS_TRACK, "ticks")
    yield from map(_tick, (tick for tick in ticks if tick.came))
    yield from _named(LAGS_TRACK, "lag")
    for span in late_spans(ticks):
        args = {"worst lag, ms": span.worst * 1000, "ticks due": span.due, "never came": span.missed}
        yield _slice(LAGS_TRACK, f"{milliseconds(span.worst)} ms late", span.begin, span.end, args)
    for number, lane in enumerate(measure.lanes, FIRST_TASKS_TRACK):
        yield from _named(number, _thread(lane, number - FIRST_TASKS_TRACK + 1))
        yield from _tasks(lane, number)


def _tick(tick: Tick) -> Event:
    args = {"due at, s": tick.at, "lag, ms": tick.lag * 1000, "ticks due": tick.due, "came": tick.came}
    return {"ph": "i", "s": "t", "tid": TICKS_TRACK, "name": "tick", "ts": tick.served * 1e6, "args": args}


def _tasks(lane: Lane, number: int) -> Iterator[Event]:
    for begin, end, tasks, busy in zip(lane.begin, lane.end, lane.tasks, lane.busy, strict=True):
        name = "task" if tasks == 1 else f"{tasks} tasks"
        yield _slice(number, name, begin, end, {"tasks": tasks, "ran, ms": busy * 1000})


def _thread(lane: Lane, number: int) -> str:
    if lane.thread is None:
        return f"task {number}, as seen from the loop"
    return f"{'event loop' if lane.loop else 'worker'} (process {lane.process}, thread {lane.thread})"


def _slice(thread: int, name: str, begin: float, end: float, args: Event) -> Event:
    return {"ph": "X", "tid": thread, "name": name, "ts": begin * 1e6, "dur": (end - begin) * 1e6, "args": args}


def _named(thread: int, name: str) -> Iterator[Event]:
    yield {"ph": "M", "tid": thread, "name": "thread_name", "args": {"name": name}}
    yield {"ph": "M", "tid": thread, "name": "thread_sort_index", "args": {"sort_index": thread}}


def _meta(process: int, kind: str, **args: object) -> Event:
    return {"ph": "M", "pid": process, "tid": 0, "name": kind, "args": args}
