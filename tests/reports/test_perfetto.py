import asyncio
import json
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import gilscope
import pytest
from gilscope.records.result import Bins, Lag, Lane, Measure, Plan, Result, Trial
from gilscope.reports.perfetto import trace
from gilscope.trial.run import trial
from gilscope.trial.spans import MAX_LANES, MAX_SPANS, Lanes, Stamp, Stamped
from gilscope.trial.strategies import STRATEGIES

Run = Callable[..., Result]
Finished = Callable[..., Trial]


def events(result: Result, kind: str = "") -> list[dict[str, Any]]:
    whole = json.loads(trace(result))
    return [event for event in whole["traceEvents"] if event["ph"] == kind or not kind]


def made(lanes: list[Lane]) -> Trial:
    ticks = Bins(width=1.0, due=[0, 1, 1], came=[0, 1, 0], worst=[0.0, 1.5, 0.5])
    lag = Lag(due=2, came=1, p50=0.5, p90=1.5, p99=1.5, max=1.5)
    measure = Measure(start_up=0.0, elapsed=3.0, tasks=3, rate=1.0, cpu=None, lag=lag, ticks=ticks, lanes=lanes)
    return Trial(case="thread/held", count=1, status="finished", measure=measure)


LANE = Lane(process=10, thread=11, loop=False, begin=[0.0, 1.0], end=[1.0, 3.0], tasks=[1, 2], busy=[1.0, 1.8])


def test_each_case_is_a_process_with_its_name_in_the_order_of_the_run(run_of: Run, finished: Finished) -> None:
    died = Trial(case="thread/python", count=1, status="died", reason="killed by SIGSEGV")
    result = run_of(finished("inline/held"), died)
    names = [event["args"]["name"] for event in events(result, "M") if event["name"] == "process_name"]
    assert names == ["idle", "inline/held", "thread/python (died: killed by SIGSEGV)"]


def test_a_tick_is_an_instant_and_a_late_stretch_a_slice(run_of: Run) -> None:
    mine = [event for event in events(run_of(made([]))) if event["pid"] == 2]
    instants = [event for event in mine if event["ph"] == "i"]
    assert [(event["ts"], event["args"]["lag, ms"]) for event in instants] == [(2.5e6, 1500.0)]
    slices = [(event["ts"], event["dur"], event["args"]["never came"]) for event in mine if event["ph"] == "X"]
    assert slices == [(1e6, 1.5e6, 1)]


def test_a_task_is_a_slice_on_its_own_thread(run_of: Run) -> None:
    mine = [event for event in events(run_of(made([LANE]))) if event["pid"] == 2]
    named = {event["args"]["name"]: event["tid"] for event in mine if event["name"] == "thread_name"}
    thread = named["worker (process 10, thread 11)"]
    slices = [
        (event["name"], event["ts"], event["dur"]) for event in mine if event["tid"] == thread and event["ph"] == "X"
    ]
    assert slices == [("task", 0.0, 1e6), ("2 tasks", 1e6, 2e6)]


def test_every_event_has_what_the_format_asks_for(run_of: Run, finished: Finished) -> None:
    for event in events(run_of(made([LANE]), finished("inline/held", came=20, p99=0.3))):
        assert {"ph", "pid", "tid", "name"} <= event.keys()
        assert event["ph"] == "M" or event["ts"] >= 0
        assert event["ph"] != "X" or event["dur"] >= 0
        assert event["ph"] != "i" or event["s"] == "t"


def ran(strategy: str, function: str, count: int, plan: Plan) -> Measure:
    return asyncio.run(trial(STRATEGIES[strategy], getattr(gilscope, function), (count,), plan, steps=count))


def test_slices_of_one_thread_do_not_overlap(run_of: Run) -> None:
    plan = Plan(seconds=0.3, concurrency=2)
    measures = {name: ran(name, "countdown_python", 20_000, plan) for name in ("inline", "thread")}
    trials = [Trial(case=name, count=1, status="finished", measure=measure) for name, measure in measures.items()]
    tracks = defaultdict(list)
    for event in events(run_of(*trials), "X"):
        tracks[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    assert len(tracks) > 2
    for slices in tracks.values():
        assert all(one[1] <= other[0] + 1 for one, other in pairwise(sorted(slices)))  # to a microsecond


INTERPRETER = pytest.param(
    "interpreter",
    marks=pytest.mark.skipif(sys.version_info < (3, 14), reason="needs InterpreterPoolExecutor, Python 3.14"),
)


@pytest.mark.parametrize("strategy", ["inline", "thread", "process", INTERPRETER])
def test_every_task_is_on_the_lane_of_the_thread_that_ran_it(strategy: str) -> None:
    measure = ran(strategy, "countdown_python", 20_000, Plan(seconds=0.3, concurrency=2))
    assert sum(sum(lane.tasks) for lane in measure.lanes) == measure.tasks
    here = (os.getpid(), threading.get_native_id())
    assert [(lane.process, lane.thread) == here for lane in measure.lanes] == [lane.loop for lane in measure.lanes]
    assert any(lane.loop for lane in measure.lanes) == (strategy == "inline")
    assert all((lane.process == os.getpid()) == (strategy != "process") for lane in measure.lanes)
    for lane in measure.lanes:
        assert all(0 <= begin < end <= measure.elapsed for begin, end in zip(lane.begin, lane.end, strict=True))
        assert lane.busy == pytest.approx([end - begin for begin, end in zip(lane.begin, lane.end, strict=True)])


@pytest.mark.parametrize("strategy", ["tokio", "bridge"])
def test_a_task_whose_thread_nobody_can_tell_is_on_a_lane_of_its_own(strategy: str) -> None:
    measure = ran(strategy, f"countdown_{strategy}", 1_000_000, Plan(seconds=0.3, concurrency=2))
    assert sum(sum(lane.tasks) for lane in measure.lanes) == measure.tasks
    assert [(lane.thread, lane.loop) for lane in measure.lanes] == [(None, False)] * 2
    for lane in measure.lanes:
        assert all(end <= begin for end, begin in zip(lane.end, lane.begin[1:], strict=False))


def test_a_stamp_carries_the_result_and_the_place() -> None:
    stamp = Stamped(divmod)(7, 2)
    assert (stamp.result, stamp.process, stamp.thread) == ((3, 1), os.getpid(), threading.get_native_id())
    assert stamp.begin <= stamp.end


def test_lanes_stay_bounded_and_lose_no_task() -> None:
    lanes = Lanes(0.0)
    tasks = 100_000
    for i in range(tasks):
        lanes.add(Stamp(None, i * 1.0, i + 0.5, 1, i % 3), 0)
    record = lanes.record()
    assert len(record) == 3
    assert MAX_SPANS / 4 < sum(len(lane.tasks) for lane in record) <= MAX_SPANS
    assert sum(sum(lane.tasks) for lane in record) == tasks
    assert sum(sum(lane.busy) for lane in record) == tasks * 0.5
    assert min(lane.begin[0] for lane in record) == 0.0
    assert max(lane.end[-1] for lane in record) == tasks - 0.5


def test_an_executor_with_a_thread_a_task_has_bounded_lanes_too() -> None:
    lanes = Lanes(0.0)
    for i in range(10 * MAX_LANES):
        lanes.add(Stamp(None, i * 1.0, i + 0.5, 1, i), i % 2)
    record = lanes.record()
    assert len(record) == MAX_LANES + 2
    assert sum(sum(lane.tasks) for lane in record) == 10 * MAX_LANES
