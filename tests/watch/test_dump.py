"""Dumps of the last minutes: what they have, where they are written and when, and what never happens to the program."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from gilscope import Watch
from gilscope.records.read import read
from gilscope.records.watch_report import WatchReport
from gilscope.reports import watch_dump
from gilscope.reports.terminal import text
from gilscope.watch import dumps
from gilscope.watch.dumps import MAX_FILES, SECONDS_BETWEEN_STALL_DUMPS, Dumps, DumpSettings
from gilscope.watch.excerpt import excerpt

from tests.support.watched import stall, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilscope.records.stall import Stall

BEFORE_IT_STARTED = "this watch has not been started"


@pytest.fixture
def stalled() -> Iterator[Watch]:
    """Return a watch that runs, and has seen a loop stall."""
    watch = Watch()
    with watch:
        asyncio.run(_stall())
        _stalled_after(watch, 0.0)
        yield watch


def _stalled_after(watch: Watch, moment: float) -> Stall:
    """Wait for the stall that :func:`_stall` makes. A busy machine may make others, in which the loop does not wait."""
    found: list[Stall] = []

    def look() -> bool:
        found.extend(
            it for it in watch.snapshot().worst if it.cause == "blocked, waiting" and moment <= it.start < it.end - 0.1
        )
        return bool(found)

    _wait_until(look)
    return found[0]


async def _stall() -> None:
    await asyncio.sleep(0.05)
    time.sleep(0.15)  # noqa: ASYNC251 - the stall
    await asyncio.sleep(0.05)


def _wait_until(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(0.01)


def _dumped(path: Path) -> WatchReport:
    report = read(path)
    assert isinstance(report, WatchReport)
    return report


def test_a_dump_is_a_report_of_the_last_minutes_and_says_which(stalled: Watch, tmp_path: Path) -> None:
    path = tmp_path / "dump.json"
    stalled.dump(path)
    report = _dumped(path)
    seen = report.snapshot
    assert report.excerpt
    assert report.excerpt.begin == 0.0
    assert report.excerpt.end == pytest.approx(seen.elapsed)
    assert report.excerpt.reason == "call"
    longest = seen.worst[0]
    assert longest.duration > 0.1
    assert longest.evidence.sampled > 0  # with its details
    assert sum(seen.stalls.values()) == len(seen.worst)
    assert seen.lags.max == pytest.approx(longest.duration, rel=0.01)
    assert report.timeline
    assert max(filter(None, report.timeline.worst)) == pytest.approx(longest.duration, abs=1e-3)
    assert seen.waits.count > 0
    assert seen.samples > 0
    assert seen.held is not None
    assert 0 < seen.held <= seen.elapsed
    assert [path.name for path in tmp_path.iterdir()] == ["dump.json"]


def test_a_dump_agrees_with_the_sums_of_a_short_watch(tmp_path: Path) -> None:
    watch = Watch()
    with watch:
        asyncio.run(_stall())
    watch.dump(tmp_path / "dump.json")  # nothing changes any more
    seen, dumped = watch.snapshot(), _dumped(tmp_path / "dump.json").snapshot
    assert dumped.held == pytest.approx(seen.held, abs=1e-6)
    assert {it.native_id: pytest.approx(it.held, abs=1e-6) for it in dumped.held_by} == {
        it.native_id: it.held for it in seen.held_by if it.held
    }
    assert dumped.elapsed == pytest.approx(seen.elapsed)
    assert dumped.lags.count == seen.lags.count
    assert dumped.stalls == seen.stalls
    assert dumped.sites == seen.sites
    assert (dumped.collected, dumped.samples) == (seen.collected, seen.samples)
    assert dumped.loops == seen.loops
    assert _dumped(tmp_path / "dump.json").time is None  # what the loops did is added up from the beginning only


def test_an_excerpt_has_nothing_from_before_it_begins(stalled: Watch) -> None:
    first = _stalled_after(stalled, 0.0)
    asyncio.run(_stall())
    _stalled_after(stalled, first.end)
    assert stalled._session
    since = stalled.began + first.end
    report = excerpt(stalled._session, since=since, reason="stall")
    seen = report.snapshot
    assert report.excerpt
    assert report.timeline
    assert report.excerpt.begin == report.timeline.begin == pytest.approx(first.end)
    assert seen.elapsed == pytest.approx(report.excerpt.end - first.end)
    assert all(it.end > first.end for it in seen.worst)
    assert sum(seen.stalls.values()) == len(seen.worst) > 0
    assert 0 < seen.lags.count < stalled.snapshot().lags.count
    assert seen.held is not None
    assert sum(sum(track.held) for track in report.timeline.held) == pytest.approx(seen.held, abs=1e-3)
    assert seen.held <= seen.elapsed


@pytest.mark.parametrize("width", [80, 160])
def test_a_dump_is_printed_with_the_time_that_it_covers(stalled: Watch, tmp_path: Path, width: int) -> None:
    stalled.dump(tmp_path / "dump.json")
    first, second, *_ = text(_dumped(tmp_path / "dump.json"), width).splitlines()
    assert re.fullmatch(r"gilscope watch: \d+\.\d s of .+", first)
    assert re.fullmatch(r"up to \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, written by Watch.dump", second)


def test_a_dump_of_a_long_watch_says_how_much_of_it_is_there(tmp_path: Path) -> None:
    report = watched(stall("blocked, waiting", 700.0, 1.5), elapsed=60.0)
    excerpt = {"begin": 650.0, "end": 710.0, "ended": "2026-01-02T03:04:05.678+00:00", "reason": "stall"}
    file = tmp_path / "dump.json"
    file.write_bytes(msgspec.json.encode({**msgspec.to_builtins(report), "excerpt": excerpt}))
    first, second, *_ = text(_dumped(file), 80).splitlines()
    assert first == "gilscope watch: the last 60.0 s of 710.0 s of server.py"
    assert second == "up to 2026-01-02 03:04:05 UTC, written after a stall longer than dump_on"


def test_a_dump_as_a_trace_has_each_hold_and_heartbeat(stalled: Watch, tmp_path: Path) -> None:
    path = tmp_path / "dump.perfetto.json"
    stalled.dump(path)
    events = msgspec.json.decode(path.read_bytes())["traceEvents"]
    assert any(event["name"] == "holds the GIL" for event in events)
    assert any(event["name"] == "lag (ms)" and event["args"]["lag"] > 100 for event in events)
    assert any(event["name"].startswith("blocked") for event in events)
    assert (stalled.holds(), stalled.lags()) == ([], [])  # these need trace=True


@pytest.mark.thorough
def test_a_page_is_drawn_in_a_process_that_is_not_counted(stalled: Watch, tmp_path: Path) -> None:
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    stalled.dump(tmp_path / "dump.html")
    assert "written by Watch.dump" in (tmp_path / "dump.html").read_text()
    assert stalled.snapshot().children == 0
    assert [path.name for path in tmp_path.iterdir()] == ["dump.html"]


def test_a_file_that_is_there_is_replaced_and_its_link_stays(stalled: Watch, tmp_path: Path) -> None:
    file, link = tmp_path / "dump.json", tmp_path / "latest.json"
    file.write_text("old")
    link.symlink_to(file)
    stalled.dump(link)
    assert link.is_symlink()
    assert _dumped(file).excerpt


@pytest.mark.parametrize(
    ("name", "error", "complaint"),
    [
        ("dump.txt", ValueError, r"its suffix must be one of .perfetto.json, .json, .html"),
        ("dump", ValueError, "its suffix must be one of"),
        ("dump.speedscope.json", ValueError, "a dump has no stacks of busy loops"),
        ("folder.json", IsADirectoryError, "folder.json"),
        ("nowhere/dump.json", FileNotFoundError, "nowhere"),
    ],
)
def test_a_path_that_cannot_be_written_is_refused_and_nothing_is_left(
    stalled: Watch, tmp_path: Path, name: str, error: type[Exception], complaint: str
) -> None:
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(error, match=complaint):
        stalled.dump(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.json"]


def test_a_watch_that_has_seen_nothing_has_no_dump(tmp_path: Path) -> None:
    watch = Watch()
    with pytest.raises(RuntimeError, match=BEFORE_IT_STARTED):
        watch.dump(tmp_path / "dump.json")
    watch.start_with_first_loop()
    with pytest.raises(RuntimeError, match="no event loop has run"):
        watch.dump(tmp_path / "dump.json")
    watch.stop()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "error", "complaint"),
    [
        ({"dump_on": 0.02}, ValueError, "dump_on: 0.02 is shorter than the threshold of a stall, 50ms"),
        ({"dump_on": "soon"}, ValueError, "dump_on: 'soon' is not a duration"),
        ({"dump_on": 500}, ValueError, "dump_on: 500 without a unit is 500 seconds: write '500ms', or '500s'"),
        ({"dump_on": True}, TypeError, "dump_on: True is not a duration"),
        ({"dump_dir": "/"}, ValueError, "dump_dir needs dump_on or dump_signal"),
        ({"dump_on": 1.0, "dump_dir": "/nowhere/at/all"}, ValueError, "dump_dir: /nowhere/at/all is not a folder"),
        ({"dump_on": 1.0, "dump_dir": 3}, TypeError, "dump_dir must be the path of a folder, not 3"),
        ({"dump_signal": "SIGUSR2"}, TypeError, "dump_signal must be a signal such as signal.SIGUSR2, not 'SIGUSR2'"),
        ({"dump_signal": True}, TypeError, "dump_signal must be a signal"),
        ({"dump_signal": signal.SIGKILL}, ValueError, "dump_signal: SIGKILL cannot be used.*choose SIGUSR1, SIGUSR2"),
        ({"dump_signal": signal.SIGSEGV}, ValueError, "dump_signal: SIGSEGV cannot be used"),
        ({"dump_signal": signal.SIGINT}, ValueError, "dump_signal: SIGINT cannot be used"),
        ({"dump_signal": 0}, ValueError, "dump_signal: 0 cannot be used"),
        ({"dump_signal": 1 << 40}, ValueError, "dump_signal: 1099511627776 cannot be used"),
    ],
)
def test_a_wrong_argument_is_refused_when_the_watch_is_made(
    arguments: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        Watch(**arguments)


@pytest.mark.parametrize("on", [0.05, "50ms", 10.0, "2min"])
def test_a_dump_may_be_wanted_from_the_shortest_stall_on(on: float | str) -> None:
    Watch(dump_on=on, dump_dir=Path("/tmp"), dump_signal=signal.SIGRTMIN)  # noqa: S108 - nothing is written


class World:
    """The clock, the reports and the files of dumps that are only planned."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.now = 1000.0
        self.since: list[float] = []
        self.fails = False
        monkeypatch.setattr(dumps, "monotonic", lambda: self.now)
        monkeypatch.setattr(dumps, "excerpt", self._excerpt)
        source: Any = SimpleNamespace(watcher=lambda: None)
        self.dumps = Dumps(DumpSettings(on=1.0, directory=folder), source)

    def _excerpt(self, _: object, *, since: float, reason: str) -> WatchReport:
        assert reason == "stall"
        if self.fails:
            raise OSError(28, "No space left on device")
        self.since.append(since)
        return watched()

    def stall(self, duration: float) -> None:
        self.dumps.add(stall("blocked, waiting", 0.0, duration), self.now)
        self.dumps.look(0)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    return World(monkeypatch, tmp_path)


def test_a_stall_longer_than_dump_on_is_dumped_with_the_minute_before_its_end(world: World, tmp_path: Path) -> None:
    world.stall(1.0)
    assert world.since == []
    world.stall(1.01)
    assert world.since == [940.0]
    (file,) = tmp_path.iterdir()
    assert re.fullmatch(r"gilscope-\d{8}T\d{6}\.\d{3}Z-\d+-1\.01s-blocked-waiting\.json", file.name)


def test_of_stalls_that_follow_each_other_the_longest_is_dumped_when_some_seconds_have_passed(world: World) -> None:
    world.stall(2.0)
    assert world.dumps.timeout() > 1e9
    for duration in (1.5, 4.0, 3.0):
        world.now += 1.0
        world.stall(duration)
    assert world.since == [940.0]
    assert world.dumps.timeout() == pytest.approx(SECONDS_BETWEEN_STALL_DUMPS - 3.0)
    world.now = 1000.0 + SECONDS_BETWEEN_STALL_DUMPS
    world.dumps.look(0)
    assert world.since == [940.0, 942.0]


def test_what_is_left_is_dumped_when_the_watch_ends(world: World) -> None:
    world.stall(2.0)
    world.stall(3.0)
    world.dumps.look(0, last=True)
    assert len(world.since) == 2


def test_the_latest_twenty_dumps_are_kept_and_no_other_file_is_deleted(world: World, tmp_path: Path) -> None:
    other = tmp_path / "gilscope-20200101T000000.000Z-1-1.00s-blocked-waiting.json"
    other.write_text("of another process")
    written: list[str] = []
    for _ in range(MAX_FILES + 5):
        world.now += 100.0
        world.stall(2.0)
        written += sorted({path.name for path in tmp_path.iterdir()} - {other.name, *written})
    assert {path.name for path in tmp_path.iterdir()} == {other.name, *written[-MAX_FILES:]}


def test_a_dump_that_cannot_be_written_is_logged_once_and_counted(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world.fails = True
    for _ in range(3):
        world.now += 100.0
        world.stall(2.0)
    assert world.dumps.failed == 3
    assert [(it.levelno, it.message) for it in caplog.records] == [
        (logging.WARNING, "gilscope cannot write a dump: [Errno 28] No space left on device")
    ]
    assert list(tmp_path.iterdir()) == []
    world.fails = False
    world.now += 100.0
    world.stall(2.0)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_watch_writes_a_dump_after_a_long_stall(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch(dump_on=0.1, dump_dir=tmp_path)
    with watch:
        asyncio.run(_stall())
        _wait_until(lambda: bool(caplog.messages))
    # On a busy machine the loop may have stalled once more, without a CPU.
    said = next(it for it in caplog.messages if "blocked, waiting" in it)
    file = next(it for it in tmp_path.iterdir() if str(it) in said)
    report = _dumped(file)
    assert report.excerpt
    assert report.excerpt.reason == "stall"
    assert any(it.cause == "blocked, waiting" and it.duration > 0.1 for it in report.snapshot.worst)
    assert len(list(tmp_path.iterdir())) == len(caplog.messages)
    assert watch.failed_dumps == 0


def test_no_two_dumps_of_a_process_have_the_same_name_and_names_sort_by_time() -> None:
    names = [dumps.name(dumps._moment(), None) for _ in range(1000)]
    assert names == sorted(set(names))


def test_a_logging_handler_that_raises_costs_the_sentence_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("of the program's")

    monkeypatch.setattr(dumps.log, "warning", fail)
    world.stall(2.0)
    world.fails = True
    world.now += 100.0
    world.stall(2.0)
    assert (len(world.since), world.dumps.failed) == (1, 1)


@pytest.mark.parametrize("executable", ["", "/usr/bin/uwsgi"])
def test_a_program_that_embeds_python_is_not_started_again_to_draw_a_page(
    monkeypatch: pytest.MonkeyPatch, executable: str
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    assert not watch_dump._drawn_elsewhere(watched(), Path("page.html"))


def test_a_folder_that_is_gone_costs_the_dump_only(tmp_path: Path) -> None:
    folder = tmp_path / "dumps"
    folder.mkdir()
    watch = Watch(dump_on=0.1, dump_dir=folder)
    with watch:
        folder.rmdir()
        asyncio.run(_stall())
        _wait_until(lambda: watch.failed_dumps > 0)
    # A busy machine may stall the loop once more.
    assert 1 <= watch.failed_dumps <= sum(watch.snapshot().stalls.values())
