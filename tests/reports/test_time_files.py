"""Where the time of busy loops went, as files that other tools read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from gilscope.cli import main
from gilscope.records import codec
from gilscope.records import read as reading
from gilscope.records.result import Result
from gilscope.records.stall import Frame
from gilscope.reports.folded import folded
from gilscope.reports.speedscope import SCHEMA, speedscope
from msgspec.structs import replace

from tests.support.busy import HANDLER, ORDERS, SERVE, busy, loop_time, spent
from tests.support.watched import POOL, watched

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gilscope.records.watch_report import WatchReport


def lines(report: WatchReport) -> list[tuple[list[str], int]]:
    """Return the folded stacks as flamegraph.pl reads them: the number after the last blank is the count."""
    found = []
    for line in folded(report).splitlines():
        stack, _, count = line.rpartition(" ")
        found.append((stack.split(";"), int(count)))
    return found


def test_each_folded_line_is_a_stack_with_what_the_loop_did_there_and_its_microseconds() -> None:
    found = lines(busy())
    assert found[0] == (
        [
            "loop",
            "serve (/srv/app/server.py:90)",
            "handler (/srv/app/orders.py:41)",
            "dumps (/usr/lib/python3.11/json/__init__.py:231)",
            "[computing]",
        ],
        3_000_000,
    )
    assert found[2][0][-1] == "[waiting for the GIL held by asyncio_0 at /srv/app/parse.py:9 in parse]"
    assert sum(count for _, count in found) == 8_300_000


def test_a_stack_stands_once_whatever_tasks_ran_it_unless_the_program_named_the_task() -> None:
    report = busy(
        spent("computing", 1.0, SERVE, task="Task-1"),
        spent("computing", 2.0, SERVE, task="Task-22"),
        spent("computing", 3.0, SERVE, task="poller"),
    )
    assert lines(report) == [
        (["loop", "serve (/srv/app/server.py:90)", "[computing]"], 3_000_000),
        (["loop", "task poller", "serve (/srv/app/server.py:90)", "[computing]"], 3_000_000),
    ]


def test_a_separator_in_a_name_does_not_break_a_folded_stack() -> None:
    report = busy(spent("computing", 1.0, SERVE, task="a;b\nc 1"))
    assert report.time is not None
    odd = replace(report.time, frames=(Frame("/srv/x;y.py", 1, "<lambda>"), *report.time.frames[1:]))
    assert lines(replace(report, time=odd)) == [
        (["loop", "task a:b c 1", "<lambda> (/srv/x:y.py:1)", "[computing]"], 1_000_000)
    ]


def test_a_speedscope_file_has_a_profile_for_each_loop_with_a_weight_for_each_stack() -> None:
    loops = (loop_time(8.3, 1.7), loop_time(1.0, 9.0, loop=2, thread=POOL))
    report = busy(*ORDERS, spent("blocked", 1.0, HANDLER, loop=2), loops=loops)
    file: dict[str, Any] = msgspec.json.decode(speedscope(report))
    assert file["$schema"] == SCHEMA
    first, second = file["profiles"]
    assert [first["name"], second["name"]] == ["loop of MainThread 83% busy", "loop of pool_0 10% busy"]
    assert {first["type"], first["unit"]} == {"sampled", "seconds"}
    assert len(first["samples"]) == len(first["weights"]) == len(ORDERS)
    assert first["endValue"] - first["startValue"] == pytest.approx(sum(first["weights"])) == pytest.approx(8.3)
    frames = file["shared"]["frames"]
    assert [frames[index] for index in second["samples"][0]] == [
        {"name": "handler", "file": "/srv/app/orders.py", "line": 41},
        {"name": "[blocked]"},
    ]


def test_a_program_without_a_loop_has_empty_files() -> None:
    assert folded(watched()) == ""
    (profile,) = msgspec.json.decode(speedscope(watched()))["profiles"]
    assert (profile["name"], profile["samples"]) == ("no event loop was watched", [])


def test_the_json_is_complete_by_itself(tmp_path: Path) -> None:
    report = busy()
    codec.write(report, tmp_path / "watch.json")
    again = reading.read(tmp_path / "watch.json")
    assert not isinstance(again, Result)
    assert again == report
    assert folded(again) == folded(report)
    assert speedscope(again) == speedscope(report)


@pytest.mark.parametrize("suffix", ["collapsed", "speedscope.json"])
def test_gilscope_report_writes_them_from_a_saved_report(suffix: str, tmp_path: Path) -> None:
    codec.write(busy(), tmp_path / "watch.json")
    written = tmp_path / f"watch.{suffix}"
    assert main(["report", str(tmp_path / "watch.json"), "-o", str(written)]) == 0
    assert written.read_bytes() == (folded(busy()).encode() if suffix == "collapsed" else speedscope(busy()))


@pytest.mark.parametrize("suffix", ["collapsed", "speedscope.json"])
def test_a_result_that_does_not_say_where_the_time_went_is_refused(
    suffix: str, run_of: Callable[..., Result], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codec.write(watched(), tmp_path / "old.json")
    codec.write(run_of(), tmp_path / "demo.json")
    target = tmp_path / f"out.{suffix}"
    assert main(["report", str(tmp_path / "old.json"), "-o", str(target)]) == 2
    assert "does not say where the loops' time went" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "demo.json"), "-o", str(target)]) == 2
    assert "is not the report of a watch" in capsys.readouterr().err
    assert not target.exists()
