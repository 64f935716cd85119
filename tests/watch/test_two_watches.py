"""Two watches, before and after a change: each site is gone, new, better, worse or the same."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
from gilscope.records import codec
from gilscope.reports.watch_difference import WatchDifference, cautions, summary
from gilscope.watch.two_watches import SiteChange, site_changes
from rich.console import Console

from tests.support.watched import stall, watched

if TYPE_CHECKING:
    from pathlib import Path

    from gilscope.records.stall import Stall
    from gilscope.records.watch_report import WatchReport


def stalls(function: str, count: int, seconds: float, *, line: int = 41) -> list[Stall]:
    return [stall("blocked, waiting", number, seconds, function=function, line=line) for number in range(count)]


def compared(before: WatchReport, after: WatchReport) -> dict[str, SiteChange]:
    changes = site_changes(before.snapshot, after.snapshot)
    return {change.culprit.function if change.culprit else "": change for change in changes}


def trends(before: WatchReport, after: WatchReport) -> dict[str, str]:
    return {name: change.trend for name, change in compared(before, after).items()}


BEFORE = watched(
    *stalls("fixed", 9, 0.3),
    *stalls("helped", 9, 0.3),
    *stalls("broken", 9, 0.1),
    *stalls("left", 9, 0.1),
    elapsed=60.0,
)
AFTER = watched(
    *stalls("helped", 9, 0.1),
    *stalls("broken", 9, 0.3),
    *stalls("left", 9, 0.1),
    *stalls("added", 9, 0.2),
    elapsed=60.0,
)


def test_each_site_is_gone_new_better_worse_or_the_same() -> None:
    assert trends(BEFORE, AFTER) == {
        "fixed": "gone",
        "helped": "better",
        "broken": "worse",
        "left": "same",
        "added": "new",
    }
    assert next(iter(compared(BEFORE, AFTER))) == "fixed"  # 2.7 s of stalls, more than any other change
    assert all(change.certain for name, change in compared(BEFORE, AFTER).items() if name in {"fixed", "added"})
    assert summary(list(compared(BEFORE, AFTER).values())) == (
        "5 sites of stalls: 1 gone, 1 new, 1 better, 1 worse and 1 same; 2 changes may be chance"
    )


def test_a_site_is_judged_per_second_of_watched_time() -> None:
    longer = watched(*stalls("report", 40, 0.1), elapsed=400.0)
    assert trends(watched(*stalls("report", 10, 0.1), elapsed=100.0), longer) == {"report": "same"}
    change = compared(watched(*stalls("report", 40, 0.1), elapsed=100.0), longer)["report"]
    assert (change.trend, change.certain) == ("better", True)


def test_a_few_stalls_that_are_missing_may_be_chance() -> None:
    few = watched(*stalls("report", 4, 0.1), elapsed=60.0)
    assert [it.certain for it in site_changes(few.snapshot, watched(elapsed=60.0).snapshot)] == [False]
    many = watched(*stalls("report", 5, 0.1), elapsed=60.0)
    assert [it.certain for it in site_changes(many.snapshot, watched(elapsed=60.0).snapshot)] == [True]
    # Nine stalls an hour, and a second in which none came: this proves nothing.
    hour = watched(*stalls("report", 9, 0.1), elapsed=3600.0)
    assert [it.certain for it in site_changes(hour.snapshot, watched(elapsed=1.0).snapshot)] == [False]


def test_a_line_that_moved_is_the_same_site() -> None:
    change = compared(watched(*stalls("report", 9, 0.1)), watched(*stalls("report", 9, 0.1, line=57)))["report"]
    assert (change.trend, change.culprit and change.culprit.line, change.moved_from) == ("same", 57, 41)


def test_another_line_of_the_same_handler_is_not_a_line_that_moved() -> None:
    after = watched(*stalls("report", 4, 0.1), *stalls("report", 9, 0.1, line=43))
    change = compared(watched(*stalls("report", 9, 0.1)), after)["report"]
    assert (change.culprit and change.culprit.line, change.moved_from) == (43, None)


def test_a_file_that_moved_is_the_same_site() -> None:
    text = codec.encode(BEFORE).replace(b"/srv/server.py", b"/opt/v2/server.py")
    assert set(trends(BEFORE, codec.decode(type(BEFORE), text, "moved")).values()) == {"same"}


def test_lines_of_one_function_are_one_site() -> None:
    both = watched(*stalls("report", 3, 0.1), *stalls("report", 2, 0.2, line=44), elapsed=60.0)
    change = compared(both, watched(elapsed=60.0))["report"]
    assert (change.before.stalls, round(change.before.stalled, 6), change.before.longest) == (5, 0.7, 0.2)


def test_a_watch_of_no_time_is_compared_without_an_error() -> None:
    nothing = watched(elapsed=0.0)
    assert site_changes(nothing.snapshot, nothing.snapshot) == []
    assert trends(nothing, watched(*stalls("report", 1, 0.1))) == {"report": "new"}


def test_other_conditions_are_named() -> None:
    other = msgspec.structs.replace(AFTER, stall=0.1, command=("other.py",))
    assert list(cautions(BEFORE, AFTER)) == []
    assert [line.partition(":")[0] for line in cautions(BEFORE, other)] == [
        "the thresholds differ",
        "the commands differ",
    ]


def test_the_report_of_two_watches_fits_80_columns(tmp_path: Path) -> None:
    for name, report in (("before.json", BEFORE), ("after.json", AFTER)):
        codec.write(report, tmp_path / name)
    command = [sys.executable, "-m", "gilscope", "report", "before.json", "after.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "loop lag p99" in done.stdout
    at = lines.index("gone: blocked, waiting")
    assert [line.strip() for line in lines[at + 1 : at + 3]] == [
        "at /srv/server.py:41 in fixed",
        "45.0 ms per second (9 stalls, longest 300 ms) -> none",
    ]


def test_a_long_path_stays_in_one_line() -> None:
    deep = codec.encode(BEFORE).replace(b"/srv/server.py", b"/srv/" + b"deep/" * 20 + b"server.py")
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as printed:
        console.print(WatchDifference(codec.decode(type(BEFORE), deep, "deep"), watched(elapsed=60.0)), crop=False)
    assert f"   at /srv/{'deep/' * 20}server.py:41\n      in fixed\n" in printed.get()


def test_a_watch_and_a_demo_cannot_be_compared(tmp_path: Path) -> None:
    codec.write(BEFORE, tmp_path / "watch.json")
    demo = next((tmp_path.cwd() / "tests" / "recorded").glob("demo-*.json"))
    command = [sys.executable, "-m", "gilscope", "report", "watch.json", str(demo)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: watch.json is the report of a watch and ")
