import io
from collections.abc import Callable

import pytest
from gilscope.records.result import Bins, Plan, Result, Trial
from gilscope.reports.table import strip
from gilscope.reports.terminal import TerminalReport
from rich.console import Console

Run = Callable[..., Result]
Finished = Callable[..., Trial]


def printed(result: Result, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(TerminalReport(result))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 160])
def test_no_line_is_wider_than_the_terminal(run_of: Run, finished: Finished, width: int) -> None:
    blocked = finished("interpreter/python", came=1, p50=1.0, p99=123.456)
    lines = printed(run_of(blocked, finished("thread/held", came=20, p99=0.3)), width).splitlines()
    assert max(len(line) for line in lines) <= width


def test_a_row_has_the_ticks_the_lags_in_milliseconds_the_work_and_the_cores(run_of: Run, finished: Finished) -> None:
    text = printed(run_of(finished("thread/held", came=50, p50=0.1234, p99=0.3456, work=0.98)), 100)
    row = next(line for line in text.splitlines() if line.startswith("thread/held"))
    assert row.split()[:7] == ["thread/held", "50/200", "123", "346", "346", "0.98", "1.95"]
    assert row.split()[7].startswith("|||")


def test_the_plan_and_the_machine_come_first(run_of: Run) -> None:
    lines = printed(run_of(plan=Plan(count=50_000_000, concurrency=1)), 160).splitlines()
    assert lines[0] == "gilscope demo: 1 task at a time of 50000000 steps, a tick every 10 ms, 2 s per case"
    assert lines[1] == "CPython 3.13.0 (GIL on), Linux 6, a processor, 2 cores; 2026-01-02T03:04:05+00:00"


def test_a_case_that_did_not_finish_is_shown_with_its_reason(run_of: Run) -> None:
    text = printed(run_of(Trial(case="thread/held", count=1, status="timed out", reason="not done after 60 s")), 80)
    assert "thread/held timed out: not done after 60 s" in text


def test_an_interrupted_run_says_so(run_of: Run) -> None:
    assert "Interrupted: the remaining cases did not run." in printed(run_of(interrupted=True), 80)


def test_gaps_show_in_the_strip() -> None:
    ticks = Bins(width=0.01, due=[1] * 12, came=[1, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0], worst=[0.0] * 12)
    assert strip(ticks, 12) == "|||    ||"
    assert strip(ticks, 4) == "| :"


def test_a_strip_is_never_longer_than_its_ticks() -> None:
    assert strip(Bins(width=1.0, due=[1, 1], came=[1, 1], worst=[0.0, 0.0]), 60) == "||"
    assert strip(Bins(width=1.0, due=[], came=[], worst=[]), 60) == ""


def test_doubtful_work_is_marked_and_the_reason_is_below_the_table(run_of: Run, finished: Finished) -> None:
    impossible = [finished(case, work=3.14, cpu=3.96) for case in ("process/python", "bridge/released")]
    text = printed(run_of(*impossible, finished("thread/held", work=0.98)), 200)
    rows = {line.split()[0]: line.split() for line in text.splitlines() if "/" in line.split(" ")[0]}
    assert rows["process/python"][5:7] == ["?3.14", "1.98"]
    assert rows["thread/held"][5] == "0.98"
    assert (
        "? Do not rely on the work of process/python and bridge/released: it is more than the busy cores can do, so the machine's "
        "speed changed after the baseline was measured." in text
    )
