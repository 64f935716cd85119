"""Results that were measured on real machines go through every report and every finding.

``tests/recorded`` has results of demo, compare and watch, on Python 3.11 to 3.15. Two files of schema 1 prove that old files
are still read.
"""

from __future__ import annotations

import json
import re
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
from gilscope.comparison.figures import ComparisonFigures
from gilscope.comparison.findings import RULES as COMPARISON_RULES
from gilscope.comparison.findings import findings as comparison_findings
from gilscope.comparison.recommendation import CHOICES, recommend
from gilscope.demo.findings import RULES as DEMO_RULES
from gilscope.demo.findings import findings as demo_findings
from gilscope.demo.findings import warnings
from gilscope.records.codec import encode
from gilscope.records.read import read, result_of
from gilscope.records.result import Result
from gilscope.records.stall import Cause
from gilscope.records.watch_report import WatchReport
from gilscope.reports import page, perfetto, terminal, watch_page
from gilscope.reports.difference import Difference
from rich.console import Console

FILES = sorted((Path(__file__).parent / "recorded").glob("*.json"))
MAX_BYTES_OF_A_FILE = 200_000
WIDTHS = [80, 160]
FINDINGS_NOT_RECORDED = {
    "no_gil",  # needs a Python without a GIL
    "threads_of_its_own",  # not recorded before the figures counted them
    "no_core_is_left_for_the_loop",  # needs a machine that runs nothing else
}
CHOICES_NOT_RECORDED = {"nowhere_without_an_end", "nowhere_while_it_fails"}
CAUSES_NOT_RECORDED = {"unknown"}
"""The tests of the findings and of the reports construct what no recorded result has."""
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


class Text(HTMLParser):
    """Collects what a page shows before its script has run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.shown: list[str] = []
        self._hidden = 0
        self.feed(page)

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.shown.append(data)


@cache
def recorded(file: Path) -> Result | WatchReport:
    return read(file)


def results() -> list[Result]:
    return [result for file in FILES if isinstance(result := recorded(file), Result)]


def check_words(text: str) -> None:
    assert text.strip()
    assert re.findall(r"\b(?:None|nan|inf|NaN|Infinity)\b", text) == []


def test_there_are_ten_small_files_of_every_kind_from_five_pythons() -> None:
    assert len(FILES) >= 10
    assert {file.name: size for file in FILES if (size := file.stat().st_size) > MAX_BYTES_OF_A_FILE} == {}
    assert {json.loads(file.read_bytes())["schema"] for file in FILES} == {1, 2}
    assert {recorded(file).kind for file in FILES} == {"demo", "compare", "watch"}
    pythons = {recorded(file).machine.python.rpartition(".")[0] for file in FILES}
    assert pythons == {"3.11", "3.12", "3.13", "3.14", "3.15"}


@every_file
def test_a_file_is_read_and_stays_the_same_when_it_is_written_and_read_again(file: Path) -> None:
    result = recorded(file)
    assert result_of(encode(result), "a copy") == result


@every_file
@pytest.mark.parametrize("width", WIDTHS)
def test_the_terminals_report_keeps_to_the_width_and_has_a_word_for_everything(file: Path, width: int) -> None:
    text = terminal.text(recorded(file), width)
    check_words(text)
    assert [line for line in text.splitlines() if len(line) > width] == []


@pytest.mark.thorough
@pytest.mark.usefixtures("vl_convert_is_open")
@every_file
def test_the_page_has_a_word_for_everything(file: Path) -> None:
    result = recorded(file)
    html = page.page(result) if isinstance(result, Result) else watch_page.page(result)
    check_words("\n".join(Text(html).shown))


@every_file
def test_the_trace_is_json(file: Path) -> None:
    result = recorded(file)
    if isinstance(result, Result):
        assert json.loads(perfetto.trace(result))["traceEvents"]


def test_findings_and_recommendations_have_a_word_for_everything() -> None:
    for result in results():
        if result.comparison is None:
            found = demo_findings(result)
            check_words("\n".join([result.kind, *warnings(result)]))
        else:
            made = recommend(result)
            check_words("\n".join([made.claim, made.because, *made.unless]))
            found = list(made.findings)
        for finding in found:
            check_words("\n".join(finding))


@pytest.mark.parametrize("width", WIDTHS)
def test_each_result_can_be_compared_with_the_next_one_in_either_order(width: int) -> None:
    found = results()
    for before, after in (each for pair in pairwise([*found, found[0]]) for each in (pair, pair[::-1])):
        console = Console(width=width, highlight=False, markup=False)
        with console.capture() as captured:
            console.print(Difference(before, after))
        check_words(captured.get())
        assert [line for line in captured.get().splitlines() if len(line) > width] == []


def test_every_finding_but_those_that_are_listed_is_in_a_recorded_result() -> None:
    stated = {
        finding.name
        for result in results()
        for finding in (
            demo_findings(result) if result.comparison is None else comparison_findings(ComparisonFigures(result))
        )
    }
    assert {rule.__name__ for rule in (*DEMO_RULES, *COMPARISON_RULES)} - stated == FINDINGS_NOT_RECORDED


def test_every_recommendation_but_those_that_are_listed_is_made_of_a_recorded_result() -> None:
    made = {
        next(choice.__name__ for choice in CHOICES if choice(ComparisonFigures(result)) is not None)
        for result in results()
        if result.comparison is not None
    }
    assert {choice.__name__ for choice in CHOICES} - made == CHOICES_NOT_RECORDED


def test_every_cause_of_a_stall_but_those_that_are_listed_is_in_a_recorded_watch() -> None:
    causes = {
        cause for file in FILES if isinstance(result := recorded(file), WatchReport) for cause in result.snapshot.stalls
    }
    assert set(get_args(Cause)) - causes == CAUSES_NOT_RECORDED
