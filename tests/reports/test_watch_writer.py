"""The process that gives the report of a watch has loaded everything before the program ends, and nothing that it does not need."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from gilscope.records import codec

from tests.support.watched import watched

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

GIVES = """
import sys
from pathlib import Path
from gilscope.reports import watch_reporter
from gilscope.reports.watch_writer import ReportWriter, Trace
from gilscope.watch.updates import Program

outputs = (b"out.json", b"out.perfetto.json")
program = Program(pid=1, command=("x",), stall=0.05, outputs=outputs, began=0.0, seconds=None, signal=None)
writer = ReportWriter(program)
loaded = set(sys.modules)
from gilscope.records.read import read
report = read(Path("in.json"))
others = set(sys.modules) - loaded  # for this test only
writer.give(report.snapshot, Trace([], []), gil=True)
print(set(sys.modules) - loaded - others, loaded & {"asyncio", "click", "email", "socket"})
"""


def test_nothing_is_imported_when_the_report_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # measuring coverage imports some modules itself
    codec.write(watched(), tmp_path / "in.json")
    run = [sys.executable, "-c", GIVES]
    ended = subprocess.run(run, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ended.stdout == "set() set()\n"
    assert ended.stderr.startswith("gilscope watch: 4.0 s of x\n")
    assert (tmp_path / "out.json").exists()
    assert (tmp_path / "out.perfetto.json").exists()
