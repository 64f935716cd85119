"""The flame graph of a page: as wide as the time, coloured by what the loop did, and readable without its script."""

from __future__ import annotations

import re
from html import unescape
from typing import NamedTuple

import pytest
from gilscope.records.stall import Frame
from gilscope.reports.flame import flames
from gilscope.reports.style import DOING_COLOURS
from msgspec.structs import replace

from tests.support.busy import FRAMES, HANDLER, PARSE, QUERY, SERVE, busy, loop_time, spent
from tests.support.watched import POOL, watched


class Drawn(NamedTuple):
    """A box as it is drawn, in percent of the graph's width."""

    row: int
    left: float
    width: float
    background: str
    says: str
    label: str


BOX = re.compile(
    r"<button type='button' style='--x:([\d.]+);--w:([\d.]+);--row:(\d+);background:(.*?)' title='(.*?)'><span>(.*?)</span></button>"
)


def boxes(text: str) -> list[Drawn]:
    return [
        Drawn(int(row), float(left), float(width), background, unescape(says), unescape(label))
        for left, width, row, background, says, label in BOX.findall(text)
    ]


def test_a_line_is_as_wide_as_its_time_and_lies_below_the_line_that_called_it() -> None:
    drawn = boxes(flames(busy(spent("computing", 3.0, SERVE, HANDLER), spent("blocked", 1.0, SERVE, QUERY))))
    assert [(box.label, box.row, box.left, box.width) for box in drawn] == [
        ("loop 83% busy", 0, 0, 100),
        ("serve  server.py:90", 1, 0, 100),
        ("handler  orders.py:41", 2, 0, 75),
        ("query  db.py:7", 2, 75, 25),
    ]


def test_its_colours_are_what_the_loop_did_there() -> None:
    drawn = boxes(flames(busy(spent("computing", 3.0, SERVE, HANDLER), spent("blocked", 1.0, SERVE, QUERY))))
    assert [box.background for box in drawn[1:]] == [
        "linear-gradient(90deg,var(--computing) 0.0% 75.0%,var(--blocked) 75.0% 100.0%)",
        "var(--computing)",
        "var(--blocked)",
    ]
    assert len(set(DOING_COLOURS.values())) == len(DOING_COLOURS)


def test_who_held_the_gil_has_a_box_of_its_own() -> None:
    held = spent("waiting for the GIL", 1.0, HANDLER, holder="asyncio_0", held_at=FRAMES.index(PARSE))
    assert [box.label for box in boxes(flames(busy(held)))][1:] == [
        "handler  orders.py:41",
        "GIL held by asyncio_0 at /srv/app/parse.py:9 in parse",
    ]


def test_a_box_says_its_line_time_share_and_tasks_without_a_script() -> None:
    tasks = [spent("computing", 1.0 + number / 10, SERVE, task=f"Task-{number}") for number in range(5)]
    assert boxes(flames(busy(*tasks)))[-1].says == (
        "/srv/app/server.py:90 in serve: 6.00 s, 60% of the loop's time (60% computing); tasks Task-4, Task-3, Task-2 and 2 others"
    )


def test_what_would_be_narrower_than_a_pixel_is_left_out() -> None:
    drawn = boxes(flames(busy(spent("computing", 8.0, SERVE, HANDLER), spent("computing", 0.004, SERVE, QUERY))))
    assert [box.label for box in drawn if "query" in box.label] == []


def test_each_loop_has_a_graph() -> None:
    loops = (loop_time(8.3, 1.7), loop_time(1.0, 9.0, loop=2, thread=POOL))
    text = flames(busy(spent("computing", 8.0, SERVE), spent("computing", 1.0, SERVE, loop=2), loops=loops))
    assert text.count("class='flame'") == 2
    assert [box.label for box in boxes(text) if box.row == 0] == [
        "loop of MainThread 83% busy",
        "loop of pool_0 10% busy",
    ]


@pytest.mark.parametrize("report", [watched(), replace(busy(), time=None), busy(spent("computing", 0.0, SERVE))])
def test_a_report_without_times_has_no_graph(report: object) -> None:
    assert flames(report) == ""  # type: ignore[arg-type]


def test_a_graph_escapes_what_the_program_calls_its_functions_and_tasks() -> None:
    report = busy(spent("computing", 1.0, SERVE, task="</button><script>alert(1)</script>'"))
    assert report.time is not None
    evil = replace(report.time, frames=(Frame("/x'.py", 1, "<b>"), *report.time.frames[1:]))
    text = flames(replace(report, time=evil))
    assert "<script>alert" not in text
    assert "<b>" not in text
    assert any("</button><script>alert(1)</script>'" in box.says for box in boxes(text))


def test_a_stack_of_a_thousand_lines_is_drawn() -> None:
    report = busy(spent("computing", 1.0, SERVE))
    assert report.time is not None
    deep = tuple(Frame("/srv/deep.py", line, "recurse") for line in range(1000))
    tree = replace(
        report.time, frames=deep, stacks=(replace(report.time.stacks[0], frames=tuple(range(1000)), culprit=999),)
    )
    assert max(box.row for box in boxes(flames(replace(report, time=tree)))) == 1000
