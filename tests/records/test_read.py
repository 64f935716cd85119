from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest
from gilscope.records import codec
from gilscope.records import read as reading
from gilscope.records.codec import UnreadableError
from gilscope.records.machine import machine
from gilscope.records.watch_report import BOUNDS, Distribution, Snapshot, WatchReport

from tests.support.constructed import compared, verdict, way

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gilscope.records.result import Result


def watch_report() -> WatchReport:
    waits = Distribution(
        count=1, total=0.1, p50=0.1, p90=0.1, p99=0.1, max=0.1, up_to=tuple((bound, 1) for bound in BOUNDS)
    )
    seen = Snapshot(
        elapsed=1.0,
        samples=1000,
        held=0.5,
        held_by=(),
        waited=0.1,
        waits=waits,
        lags=waits,
        stalled={},
        stalls={},
        sites=(),
        worst=(),
        collected=0.0,
        cost=0.0,
        lost=0,
        children=0,
        loops_with_own_clock=0,
        gil_unreadable=None,
    )
    return WatchReport(
        version="0.1.0",
        created="2026-01-02T03:04:05+00:00",
        machine=machine(),
        command=("program.py",),
        stall=0.05,
        snapshot=seen,
    )


def report(*arguments: str, given: str = "") -> tuple[int, str, str]:
    """Run `gilscope report` with ``given`` on its stdin."""
    command = [sys.executable, "-m", "gilscope", "report", *arguments]
    ran = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=120)
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "is empty, or was cut short: give the JSON file that -o FILE.json or --json FILE"),
        (b"not json", "is not JSON: give the JSON file"),
        (b"\xff\xfe\x00", "is not JSON: give the JSON file"),
        (b'{"traceEvents": []}', "is a trace, to be opened at ui.perfetto.dev: give the JSON file"),
        (b'{"a":' + b"[" * 200_000, "is not a gilscope result, or was cut short"),
        (b"[1, 2]", "is JSON, but not a gilscope result"),
        (b'{"tool": "pytest"}', "is JSON, but not a gilscope result"),
        (b'{"format": "memray", "schema": 1}', "its format is 'memray'"),
        (b'{"format": "gilscope", "schema": -1}', "is JSON, but not a gilscope result"),
        (b'{"format": "gilscope", "schema": 999, "new": 1}', "has schema 999, but this gilscope reads up to schema 2"),
        (b'{"format": "gilscope", "schema": 1}', "a damaged gilscope result"),
        (b'{"format": "gilscope", "schema": 1, "version": "\xff"}', "a damaged gilscope result"),
        (b'{"format": "gilscope", "schema": 2, "version": "\xff"}', "a damaged gilscope result"),
        (b'{"format": "gilscope", "schema": 1, "new": ' + b"[" * 900 + b"]" * 900 + b"}", "a damaged gilscope result"),
    ],
)
def test_a_file_that_is_not_a_result_of_gilscope_is_refused_with_the_reason(
    tmp_path: Path, text: bytes, complaint: str
) -> None:
    file = tmp_path / "r.json"
    file.write_bytes(text)
    with pytest.raises(UnreadableError, match=complaint) as error:
        reading.read(file)
    assert str(file) in str(error.value)


def test_a_result_that_is_cut_short_anywhere_is_refused(run_of: Callable[..., Result], tmp_path: Path) -> None:
    whole = codec.encode(run_of()).rstrip()
    for length in range(0, len(whole) - 1, 97):
        (tmp_path / "r.json").write_bytes(whole[:length])
        with pytest.raises(UnreadableError, match="cut short"):
            reading.read(tmp_path / "r.json")


def test_a_result_with_a_field_of_the_wrong_type_is_refused_with_its_place(
    run_of: Callable[..., Result], tmp_path: Path
) -> None:
    raw = msgspec.json.decode(codec.encode(run_of()))
    raw["plan"]["seconds"] = "two"
    (tmp_path / "r.json").write_bytes(msgspec.json.encode(raw))
    with pytest.raises(UnreadableError, match=r"plan\.seconds"):
        reading.read(tmp_path / "r.json")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=f"^cannot read {tmp_path}: Is a directory$"):
        reading.read(tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="No such file"):
        reading.read(tmp_path / "r.json")


FAULTS: list[tuple[str, object]] = [
    ("plan.seconds", -2.0),
    ("plan.tick", 0.0),
    ("plan.concurrency", 0),
    ("idle.measure.elapsed", 0.0),
    ("idle.measure.rate", -1.0),
    ("idle.measure.lag.due", -1),
    ("idle.measure.lag.p99", -0.001),
    ("idle.measure.ticks.width", 0.0),
    ("idle.measure.ticks.due", [1, 1]),
    ("machine.cores", 0.0),
    ("alone", {"python": 0.0}),
    ("kind", "compare"),
    ("kind", "other"),
    ("created", None),
    ("comparison", verdict("hogs", 0.1).to_json()),
]
OF_COMPARISONS: list[tuple[str, object]] = [
    ("comparison", None),
    ("comparison.budget", 0.0),
    ("comparison.concurrency", []),
    ("comparison.verdict.duration", 0.0),
    ("comparison.verdict.hogged", -0.1),
]
OF_WATCHES: list[tuple[str, object]] = [
    ("stall", 0.0),
    ("snapshot.elapsed", -1.0),
    ("snapshot.lags.count", -1),
    ("snapshot.waits.p50", -1.0),
    ("snapshot.stalled", {"no CPU": -1.0}),
    ("snapshot.held", -0.5),
]


@pytest.mark.parametrize(
    ("which", "place", "value"),
    [
        *(("demo", *fault) for fault in FAULTS),
        *(("compare", *fault) for fault in OF_COMPARISONS),
        *(("watch", *fault) for fault in OF_WATCHES),
    ],
)
def test_an_impossible_value_is_refused_in_one_line_that_names_the_file_and_the_field(
    which: str, place: str, value: object, run_of: Callable[..., Result]
) -> None:
    whole = {"demo": run_of, "compare": lambda: compared(verdict("hogs", 0.1), way("process")), "watch": watch_report}
    raw = at = msgspec.to_builtins(whole[which]())
    assert reading.result_of(msgspec.json.encode(raw), "r.json") == whole[which]()
    *above, field = place.split(".")
    for name in above:
        at = at[name]
    at[field] = value
    with pytest.raises(UnreadableError) as error:
        reading.result_of(msgspec.json.encode(raw), "r.json")
    (line,) = str(error.value).splitlines()
    assert line.startswith("r.json is a damaged gilscope result: ")
    assert field in line or ".".join(above) in line


@pytest.mark.parametrize("figure", [b"NaN", b"Infinity", b"1e999", b"null"])
def test_a_figure_that_is_not_a_finite_number_is_refused(figure: bytes, run_of: Callable[..., Result]) -> None:
    raw = codec.encode(run_of()).replace(b'"seconds": 2.0', b'"seconds": ' + figure)
    with pytest.raises(UnreadableError, match=r"malformed|at `\$\.plan\.seconds`"):
        reading.result_of(raw, "r.json")


def test_a_result_is_read_from_standard_input(run_of: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    codec.write(run_of(), file)
    from_file = report(str(file))
    assert from_file[0] == 0
    assert from_file[1].startswith("gilscope demo: ")
    assert report("-", given=file.read_text()) == from_file
    assert report(str(file), "-", given=file.read_text())[0] == 0


def test_a_watch_is_read_from_standard_input() -> None:
    code, out, _ = report("-", given=codec.encode(watch_report()).decode())
    assert (code, out.splitlines()[0]) == (0, "gilscope watch: 1.0 s of program.py")


def test_standard_input_without_a_result_is_refused() -> None:
    assert report("-")[::2] == (
        2,
        f"Error: standard input is empty, or was cut short: {reading.GIVE}\n",
    )
    assert report("-", "-")[::2] == (2, "Error: standard input holds only one result: give a file for the other\n")
    closed = subprocess.run(
        [sys.executable, "-m", "gilscope", "report", "-"],
        preexec_fn=lambda: os.close(0),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (closed.returncode, closed.stderr) == (2, "Error: cannot read standard input: it is closed\n")


def test_a_verdict_is_named_as_such(tmp_path: Path) -> None:
    file = tmp_path / "verdict.json"
    one = verdict("hogs", 0.02).to_json()
    for text in (one, f"[{one}, {one}]"):
        file.write_text(text)
        with pytest.raises(
            UnreadableError, match=r"verdict.json has verdicts of gilscope check, which prints them itself"
        ):
            reading.read(file)


def test_other_files_are_named_with_what_to_do_with_them(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import asyncio\n")
    (tmp_path / "page.html").write_text("<!doctype html><title>gilscope</title>")
    for name, complaint in (
        ("app.py", "app.py is a Python file: to run it, write gilscope watch .*app.py$"),
        ("page.html", "page.html is a page, to be opened in a browser: give the JSON file"),
    ):
        with pytest.raises(UnreadableError, match=complaint):
            reading.read(tmp_path / name)
