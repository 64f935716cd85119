import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gilscope.cli import main
from gilscope.records import codec
from gilscope.records import read as reading
from gilscope.records.result import Bins, Lag, Measure, Result, Trial
from gilscope.reports import chart
from gilscope.reports.files import FORMATS, format_of, write
from gilscope.reports.page import page
from gilscope.reports.style import LATE_COLOUR, TICK_COLOUR
from gilscope.reports.ticks import LateSpan, late_spans, merged

pytestmark = [
    pytest.mark.thorough,  # Altair takes long, and draws the same on every Python
    pytest.mark.usefixtures("vl_convert_is_open"),
]
Run = Callable[..., Result]
Finished = Callable[..., Trial]
Blocked = Callable[[str, float], Trial]


def layers(node: Any, data: Any = None) -> Iterator[tuple[str, str]]:
    """Yield the mark of each layer and the name of its data. A layer without data uses that of the node above it."""
    data = node.get("data", data)
    for part in node.get("hconcat", []) + node.get("layer", []):
        yield from layers(part, data)
    if "mark" in node:
        yield node["mark"]["type"], data["name"]


def drawn(result: Result, mark: str, field: str) -> list[dict[str, Any]]:
    """Return the rows that have ``field`` in the layers of the panels that are drawn with ``mark``."""
    spec = chart.panels(result).to_dict()
    tables = [spec["datasets"][name] for kind, name in layers(spec) if kind == mark]
    return [row for table in tables for row in table if field in row]


def test_a_loop_blocked_for_the_whole_run_is_one_bar(run_of: Run, blocked: Blocked) -> None:
    bars = drawn(run_of(blocked("inline/held", 2.005)), "bar", "start")
    assert [(bar["case"], bar["start"], bar["stop"]) for bar in bars] == [("inline/held", 0.01, 2.005)]
    assert bars[0]["missed"] == "198 of 199"


def test_a_tick_is_drawn_at_the_moment_when_it_came(run_of: Run, blocked: Blocked) -> None:
    ticks = drawn(run_of(blocked("inline/held", 2.0)), "tick", "at")
    assert [tick["at"] for tick in ticks if tick["case"] == "inline/held"] == [2.0]


def test_a_case_that_is_on_time_has_ticks_and_no_bar(run_of: Run, finished: Finished) -> None:
    result = run_of(finished("thread/released", p99=0.002))
    assert len([tick for tick in drawn(result, "tick", "at") if tick["case"] == "thread/released"]) == 200
    assert drawn(result, "bar", "start") == []


def test_a_case_of_a_long_run_has_at_most_2000_marks_and_keeps_its_worst_lag(run_of: Run) -> None:
    bins = 2000
    worst = [0.02 if i % 2 else 0.0 for i in range(bins)]
    worst[1234] = 0.9
    ticks = Bins(width=0.08, due=[8] * bins, came=[8] * bins, worst=worst)
    lag = Lag(due=8 * bins, came=8 * bins, p50=0.001, p90=0.02, p99=0.02, max=0.9)
    measure = Measure(start_up=0.0, elapsed=160.0, tasks=1, rate=1.0, cpu=1.0, lag=lag, ticks=ticks)
    result = run_of(Trial(case="thread/python", count=1, status="finished", measure=measure))
    bars, marks = drawn(result, "bar", "start"), drawn(result, "tick", "at")
    mine = [mark for mark in (*bars, *marks, *drawn(result, "point", "ms")) if mark["case"] == "thread/python"]
    assert 1000 < len(mine) <= 2000
    assert max(bar["stop"] - bar["start"] for bar in bars) >= 0.9


def test_the_lags_and_the_budget_are_drawn_in_milliseconds(run_of: Run, finished: Finished) -> None:
    result = run_of(finished("thread/held", p50=0.1, p99=0.3))
    points = [point for point in drawn(result, "point", "ms") if point["case"] == "thread/held"]
    assert [(point["quantile"], point["ms"]) for point in points] == [
        ("median", 100.0),
        ("p99", 300.0),
        ("max", 300.0),
    ]
    assert {"ms": 10.0} in drawn(result, "rule", "ms")


def test_a_case_that_did_not_run_has_a_row_that_says_so(run_of: Run) -> None:
    result = run_of(Trial(case="interpreter/python", count=1, status="unavailable", reason="needs Python 3.14"))
    assert {"case": "interpreter/python", "note": "unavailable", "reason": "needs Python 3.14"} in drawn(
        result, "text", "note"
    )
    write_svg(result)


def write_svg(result: Result) -> str:
    return FORMATS[".svg"].encode(result).decode()


def test_a_run_without_a_tick_can_be_drawn(run_of: Run) -> None:
    lag = Lag(due=0, came=0, p50=None, p90=None, p99=None, max=None)
    none = Bins(width=0.01, due=[], came=[], worst=[])
    measure = Measure(start_up=0.0, elapsed=0.001, tasks=1, rate=1.0, cpu=None, lag=lag, ticks=none)
    result = run_of(Trial(case="inline/held", count=1, status="finished", measure=measure))
    assert "inline/held" in write_svg(result)
    assert "inline/held" in page(result)


def test_the_picture_fits_800_pixels_with_the_longest_names(run_of: Run, finished: Finished) -> None:
    names = [
        "interpreter/python",
        "cooperative/python",
        "inline/held",
        "thread/released",
        "process/held",
        "bridge/released",
        "dask/python",
        "tokio/released",
    ]
    svg = write_svg(run_of(*(finished(name, came=50, p50=0.1, p99=123.4) for name in names)))
    width = re.search(r'<svg [^>]*width="(\d+)"', svg)
    assert width is not None
    assert int(width[1]) <= 800


def test_the_two_colours_also_differ_in_a_grey_print() -> None:
    def grey(colour: str) -> float:
        red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        return float(0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2)

    assert (grey(LATE_COLOUR) + 0.05) / (grey(TICK_COLOUR) + 0.05) > 3  # WCAG's contrast for graphics


def test_late_spans_that_overlap_are_merged() -> None:
    ticks = merged(Bins(width=1.0, due=[1, 1, 1, 1], came=[1, 0, 1, 1], worst=[0.0, 1.5, 0.4, 0.9]), 10)
    assert late_spans(ticks, 0.3) == [LateSpan(1.0, 2.5, 2, 1, 1.5), LateSpan(3.0, 3.9, 1, 0, 0.9)]
    assert late_spans(ticks, 0.5) == [LateSpan(1.0, 2.5, 1, 1, 1.5), LateSpan(3.0, 3.9, 1, 0, 0.9)]


def test_merged_bins_lose_no_tick_and_keep_the_worst_lag() -> None:
    bins = Bins(width=0.5, due=[1, 2, 0, 0, 3], came=[1, 1, 0, 0, 3], worst=[0.1, 0.7, 0.0, 0.0, 0.2])
    ticks = merged(bins, 3)
    assert [(tick.at, tick.lag, tick.due, tick.came) for tick in ticks] == [(0.5, 0.7, 3, 2), (2.0, 0.2, 3, 3)]


HEADS = {".json": b"{", ".html": b"<!DOCTYPE html>", ".svg": b"<svg", ".png": b"\x89PNG", ".pdf": b"%PDF"}


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_suffix_chooses_the_format(suffix: str, run_of: Run, finished: Finished, tmp_path: Path) -> None:
    file = tmp_path / f"run.2{suffix.upper()}"
    write(run_of(finished("thread/held", came=20, p99=0.3)), file, FORMATS)
    assert file.read_bytes().startswith(HEADS.get(suffix, b'{"traceEvents"'))


def test_a_page_escapes_the_names_of_cases_and_the_reasons(run_of: Run) -> None:
    evil = "</script><script>alert(1)</script>"
    text = page(run_of(Trial(case=evil, count=1, status="died", reason=f"<b>{evil}")))
    assert evil not in text
    assert "&lt;/script&gt;" in text
    spec = re.search(r'<script type="application/json" id="spec">(.*?)</script>', text, re.DOTALL)
    assert spec is not None
    assert evil in json.dumps(json.loads(spec[1]))


def test_a_page_has_the_table_the_findings_and_the_machine(run_of: Run, finished: Finished) -> None:
    held, released = finished("thread/held", came=20, p50=0.1, p99=0.3), finished("thread/released")
    text = page(run_of(held, released, interrupted=True))
    for said in (
        ">20/200</td>",
        "Releasing the GIL is what makes",
        "a processor, 2 cores",
        "CPython 3.13.0, GIL on",
    ):
        assert said in text
    assert "Interrupted" in text


def test_a_page_refers_to_nothing_outside_itself(run_of: Run, finished: Finished) -> None:
    text = page(run_of(finished("thread/held")))
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"'>\s)]*)""", markup) == ["data:,"]
    assert "default-src 'none'" in text


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        ("run.gif", "its suffix must be one of .perfetto.json, .json, .html, .svg, .png, .pdf"),
        ("run", "its suffix must be one of"),
        (".svg", "its suffix must be one of"),
        ("no/such/folder/run.svg", "cannot write no/such/folder/run.svg: No such file or directory"),
    ],
)
@pytest.mark.parametrize("command", ["demo", "report no.json"])
def test_a_file_that_cannot_be_written_is_reported_before_anything_runs(
    command: str, file: str, complaint: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr("gilscope.isolated.supervise.run", lambda module, *_, **__: started.append(module))
    assert main([*command.split(), "-o", file]) == 2
    assert started == []
    out, err = capsys.readouterr()
    assert complaint in err
    assert out == ""


def test_a_folder_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "folder.svg"
    folder.mkdir()
    assert main(["demo", "-o", str(folder)]) == 2
    assert "not a regular file" in capsys.readouterr().err


def test_a_command_that_fails_leaves_the_files_as_they_were(tmp_path: Path) -> None:
    kept, new = tmp_path / "kept.json", tmp_path / "new.svg"
    kept.write_text("mine")
    assert main(["report", str(tmp_path / "none.json"), "-o", str(kept), "-o", str(new)]) == 2
    assert kept.read_text() == "mine"
    assert not new.exists()


def test_a_missing_extra_is_reported_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[str] = []
    monkeypatch.setattr("gilscope.isolated.supervise.run", lambda module, *_, **__: started.append(module))
    monkeypatch.setattr("gilscope.reports.files.find_spec", lambda _: None)
    assert main(["demo", "-o", "run.html"]) == 2
    assert "run.html needs altair and vl_convert: pip install 'gilscope[plot]'" in capsys.readouterr().err
    assert started == []
    format_of(Path("run.json"), FORMATS)
    format_of(Path("run.perfetto.json"), FORMATS)


def test_the_other_files_are_written_if_one_cannot_be_written(
    run_of: Run, finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "run.json"
    codec.write(run_of(finished("thread/held")), kept)
    full = tmp_path / "full.json"
    full.symlink_to("/dev/full")
    again = tmp_path / "again.json"
    assert main(["report", str(kept), "-o", str(full), "-o", str(again)]) == 3
    assert f"cannot write {full}: No space left on device" in capsys.readouterr().err
    assert reading.read(again) == reading.read(kept)


def test_only_a_picture_imports_the_drawing_libraries() -> None:
    code = (
        "import sys; from gilscope.cli import main; main(['demo', '--list']); main(['report', 'none.json']); "
        "import gilscope.cli.output; sys.exit(str({'altair', 'vl_convert', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "set()"


def test_a_real_run_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / f"run{suffix}" for suffix in FORMATS]
    options = [part for file in files for part in ("-o", str(file))]
    assert main(["demo", "--case", "thread/released", "--seconds", "0.2", *options]) == 0
    assert "thread/released" in capsys.readouterr().out
    result = reading.read(tmp_path / "run.json")
    assert isinstance(result, Result)
    assert [trial.case for trial in result.trials] == ["thread/released"]
    assert "thread/released" in (tmp_path / "run.svg").read_text()
