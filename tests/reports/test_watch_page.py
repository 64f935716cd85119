"""The page of a watch says what the terminal says, and draws it over time."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from gilscope.records import codec
from gilscope.records import read as reading
from gilscope.records.watch_report import WatchReport
from gilscope.reports.style import CAUSE_COLOURS
from gilscope.reports.watch_chart import FULL_HEIGHT, chart
from gilscope.reports.watch_page import page
from gilscope.watch.cause import REMEDY

from tests.support.watched import distribution, stall, watched

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.thorough,  # Altair takes long, and draws the same on every Python
    pytest.mark.usefixtures("vl_convert_is_open"),
]
HOGGED = (stall("starved by a hog", 1.0, 0.31), stall("starved by a hog", 2.0, 0.2), stall("no CPU", 3.0, 0.1, line=7))


def rows(report: WatchReport, field: str) -> list[dict[str, Any]]:
    """Return the rows that have ``field`` in the tables of the chart's data."""
    drawn = chart(report)
    assert drawn is not None
    tables = [table for table in drawn.to_dict()["datasets"].values() if any(field in row for row in table)]
    return [row for table in tables for row in table]


def headings(report: WatchReport) -> list[str]:
    drawn = chart(report)
    assert drawn is not None
    return [panel["title"]["text"] for panel in drawn.to_dict()["vconcat"]]


def test_the_page_names_the_program_its_lag_the_threads_with_the_gil_and_each_culprit_with_its_remedy() -> None:
    text = page(watched(*HOGGED))
    for said in (
        "<h1>gilscope watch: 4.0 s of server.py</h1>",
        "loop lag: p50 1.00 ms, p99 310 ms, max 310 ms",
        "GIL: held 15% of the time (pool_0 15%)",
        "3 stalls over 50.0 ms, 0.61 s in all:",
        "at /srv/server.py:41 in report (thread pool_0)",
        "the loop was in /srv/server.py:90 in serve",
        REMEDY["starved by a hog"],
        "<td data-name='stalled'>0.51 s</td><td data-name='times'>2</td><td data-name='longest'>310 ms</td>",
        "one of ours, 4 cores",
    ):
        assert said in text
    assert text.index("starved by a hog") < text.index("no CPU</td>")


def test_a_stall_is_drawn_from_its_start_to_its_end_with_all_that_the_report_says_of_it() -> None:
    assert rows(watched(HOGGED[0]), "lasted") == [
        {
            "from": 1.0,
            "to": 1.31,
            "cause": "starved by a hog",
            "when": "1.00 s to 1.31 s",
            "lasted": "310 ms",
            "culprit": "/srv/server.py:41 in report",
            "thread": "pool_0",
            "callback": "/srv/server.py:90 in serve",
            "task": "Task-7",
            "coroutine": "serve",
        }
    ]


def test_the_lag_is_drawn_in_milliseconds_with_the_threshold() -> None:
    lags = [row for row in rows(watched(*HOGGED), "ms") if "lag" in row]
    assert len(lags) == 200
    assert max(row["ms"] for row in lags) == pytest.approx(310.0)
    assert {"ms": 50.0} in rows(watched(*HOGGED), "ms")


def test_a_thread_has_a_row_as_high_as_the_share_that_it_held() -> None:
    area = [row for row in rows(watched(HOGGED[0]), "high") if "from" in row]
    high = [(row["from"], row["high"]) for row in area if row["high"] > 0.5]
    assert area[0]["high"] == area[-1]["high"] == 0.0
    assert high == [(1.0, FULL_HEIGHT)]
    assert [row["share"] for row in rows(watched(HOGGED[0]), "share")] == ["8%"]


def test_every_cause_has_a_colour_of_its_own() -> None:
    assert set(CAUSE_COLOURS) == set(REMEDY)
    assert len(set(CAUSE_COLOURS.values())) == len(CAUSE_COLOURS)


def test_a_page_escapes_what_the_program_is_called() -> None:
    evil = "</script><script>alert(1)</script>"
    text = page(watched(stall("no CPU", 1.0, 0.1, function=evil), command=(evil,)))
    assert evil not in text
    assert text.count("&lt;/script&gt;&lt;script&gt;alert(1)") >= 3  # title, heading, and the line
    spec = re.search(r'<script type="application/json" id="spec">(.*?)</script>', text, re.DOTALL)
    assert spec is not None
    assert evil in json.dumps(json.loads(spec[1]))


def test_a_page_refers_to_nothing_outside_itself() -> None:
    text = page(watched(*HOGGED))
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"'>\s)]*)""", markup) == ["data:,"]
    assert "default-src 'none'" in text


def test_a_watch_without_a_stall_shows_lag_and_threads_and_says_that_there_was_no_stall() -> None:
    quiet = watched()
    assert headings(quiet) == ["Lag of the event loop", "Threads that held the GIL"]
    assert "no stall over 50.0 ms" in page(quiet)


def test_a_report_of_a_version_without_a_time_line_shows_its_stalls_and_says_what_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    old = msgspec.to_builtins(watched(*HOGGED))
    del old["timeline"]
    file.write_bytes(msgspec.json.encode(old))
    report = reading.result_of(file.read_bytes(), str(file))
    assert isinstance(report, WatchReport)
    assert headings(report) == ["Stalls by cause"]
    assert "This report was written without a time line" in page(report)


def test_a_program_with_neither_a_loop_nor_a_readable_gil_has_a_page_without_a_picture() -> None:
    seen = msgspec.structs.replace(
        watched().snapshot, held=None, held_by=(), lags=distribution(), gil_unreadable="free-threaded"
    )
    text = page(watched(snapshot=seen, timeline=None))
    assert chart(watched(snapshot=seen, timeline=None)) is None
    assert "loop lag: no event loop ran" in text
    assert "this build of Python has no GIL" in text
    assert "vega" not in text


def test_the_page_says_that_it_draws_only_the_longest_stalls() -> None:
    many = [stall("no CPU", 0.2 * number, 0.06 + number / 1000) for number in range(60)]
    assert "The picture shows 50 of 60 stalls: the longest ones" in page(watched(*many, elapsed=13.0))


def test_a_report_that_was_written_and_read_is_the_same(tmp_path: Path) -> None:
    report = watched(*HOGGED)
    file = tmp_path / "watch.json"
    codec.write(report, file)
    again = reading.result_of(file.read_bytes(), str(file))
    assert isinstance(again, WatchReport)
    assert again == report
    assert page(again) == page(report)
