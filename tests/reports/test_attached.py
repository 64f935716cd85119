"""The report of a process that was sampled from outside says what it measured there, and nothing that it cannot know."""

from __future__ import annotations

import pytest
from gilscope.records.attached import Attached
from gilscope.reports.terminal import text
from gilscope.reports.utilization import utilization
from gilscope.reports.watch_difference import WatchDifference, cautions
from gilscope.reports.watch_page import page
from msgspec.structs import replace
from rich.console import Console

from tests.support.busy import busy, loop_time
from tests.support.watched import distribution, stall, watched

ATTACHED = Attached(pid=1234, python="3.13.0")


SEEN = busy(command=("python", "service.py"), attached=ATTACHED)
SEEN = replace(SEEN, snapshot=replace(SEEN.snapshot, waits=distribution(), loop_runs=None))
"""There are no probes in another process."""


def test_it_names_the_process_and_says_once_by_what_its_lag_was_seen() -> None:
    lines = text(SEEN, width=200).splitlines()
    assert lines == [
        "gilscope attach: 10.0 s of PID 1234, CPython 3.13.0: python service.py",
        *utilization(SEEN),
        "loop lag: p50 1.00 ms, p99 1.00 ms, max 1.00 ms",
        "(seen from outside, by turns: a turn lasts from when a loop leaves its selector until it waits there again)",
        "GIL: held 1% of the time (MainThread 1%)",
        "overhead of gilscope: 1.9% of a CPU",
        "no stall over 50.0 ms",
    ]


def test_a_process_without_a_loop_has_no_lag() -> None:
    lines = text(replace(SEEN, snapshot=replace(SEEN.snapshot, lags=distribution(), loops=()))).splitlines()
    assert "loop lag: no event loop was seen" in lines
    assert "whether a loop stalls is unknown: no event loop of this process was seen" in lines


@pytest.mark.thorough
@pytest.mark.usefixtures("vl_convert_is_open")
def test_its_page_says_so_too() -> None:
    text = page(SEEN)
    assert "<h1>gilscope attach: 10.0 s of PID 1234, CPython 3.13.0: python service.py</h1>" in text
    assert "<li>(seen from outside, by turns: " in text


def test_two_watches_are_compared_in_how_busy_their_loops_were() -> None:
    console = Console(width=120)
    with console.capture() as captured:
        console.print(WatchDifference(busy(), busy(loops=(loop_time(4.15, 5.85),))))
    row = next(line for line in captured.get().splitlines() if "loop busy per second" in line)
    assert row.split() == ["loop", "busy", "per", "second", "830", "ms", "415", "ms", "0.5"]


def test_an_older_watch_leaves_its_column_empty_and_two_older_ones_have_no_such_row() -> None:
    console = Console(width=120)
    with console.capture() as captured:
        console.print(WatchDifference(watched(), busy()))
        console.print(WatchDifference(watched(stall("no CPU", 1.0, 0.1)), watched()))
    rows = [line.split() for line in captured.get().splitlines() if "loop busy per second" in line]
    assert rows == [["loop", "busy", "per", "second", "-", "830", "ms", "-"]]


def test_a_lag_that_was_seen_from_outside_is_not_compared_with_another_without_a_caution() -> None:
    said = "the lag {} was seen from outside, by turns of the loops"
    assert said.format("after") in list(cautions(busy(command=SEEN.command), SEEN))
    assert said.format("before") in list(cautions(SEEN, busy()))
    assert not [line for line in cautions(SEEN, SEEN) if "turns" in line]
