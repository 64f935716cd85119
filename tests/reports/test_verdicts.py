"""The table of several verdicts."""

import io

import msgspec
import pytest
import rich.console
from gilscope.reports.verdicts import VerdictTable

from tests.support.constructed import verdict


@pytest.mark.parametrize("columns", [80, 160])
def test_each_statement_is_one_line_and_no_figure_is_cut(columns: int) -> None:
    names = ["zlib.compress(json.dumps(rows, indent=1).encode('utf-8'), level=9)", "rows[a]\nrows[b]", "pass"]
    console = rich.console.Console(width=columns, markup=False, record=True, file=io.StringIO())
    console.print(VerdictTable([msgspec.structs.replace(verdict("yields", 0.012), name=name) for name in names]))
    head, *lines = console.export_text().splitlines()[:4]
    figures = "yields 0% 100% 0% 5.00 ms 12.0 ms 100%"
    assert " ".join(head.split()) == "statement verdict released yielded hogged longest hold a call cpu"
    assert [" ".join(line.split())[-len(figures) :] for line in lines] == [figures] * 3
    assert lines[1].startswith("rows[a] ... ")
    assert (names[0] in lines[0]) == (columns == 160)
