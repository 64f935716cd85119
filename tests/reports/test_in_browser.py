"""The pages in a real browser, without a network. Skipped, by name, where there is no Chromium."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gilscope.records.result import Result, Trial
from gilscope.records.watch_report import WatchReport
from gilscope.reports.page import page
from gilscope.reports.style import CAUSE_COLOURS
from gilscope.reports.watch_page import page as watch_page
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.browser import CHROMIUM, FONTS, NAMES, faults, launch, resize, shown
from tests.support.watched import stall, watched

Run = Callable[..., Result]
Finished = Callable[..., Trial]
Blocked = Callable[[str, float], Trial]

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.usefixtures("vl_convert_is_open"),
    pytest.mark.skipif(
        CHROMIUM is None,
        reason=f"no browser: none of {', '.join(NAMES)} is on the PATH (Debian: apt-get install chromium)",
    ),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield launch(playwright, FONTS[0], tmp_path_factory.mktemp("fonts"))


@pytest.fixture
def opened(
    browser: Browser, run_of: Run, finished: Finished, blocked: Blocked, tmp_path: Path
) -> Iterator[tuple[Page, list[str]]]:
    """Open the page of a run without a network. The list is of all complaints and requests."""
    died = Trial(case="thread/python", count=1, status="died", reason="killed by SIGSEGV <b>")
    result = run_of(
        blocked("inline/held", 2.005),
        finished("thread/held", came=20, p50=0.1, p99=0.3),
        finished("thread/released"),
        died,
    )
    with shown(browser, page(result), tmp_path / "run.html") as tab_and_heard:
        yield tab_and_heard


def test_the_page_draws_without_a_network_and_without_a_complaint(opened: tuple[Page, list[str]]) -> None:
    tab, heard = opened
    assert heard == []
    for case in ("idle", "inline/held", "thread/held", "thread/released"):
        expect(tab.locator("#chart svg").get_by_text(case, exact=True)).to_be_visible()
        expect(tab.locator("td").get_by_text(case, exact=True)).to_be_visible()
    assert tab.locator("#chart svg path[aria-label]").count() > 100
    expect(tab.get_by_text("Releasing the GIL is what makes a thread pool work")).to_be_visible()


def test_a_narrow_window_shows_the_panels_one_above_the_other_in_letters_that_can_be_read(
    opened: tuple[Page, list[str]],
) -> None:
    tab, heard = opened
    resize(tab, 400)
    expect(tab.locator("#chart svg").get_by_text("thread/released", exact=True)).to_have_count(2)
    sizes = tab.locator("#chart svg text").evaluate_all(
        "all => all.map(one => parseFloat(getComputedStyle(one).fontSize))"
    )
    assert min(sizes) >= 10
    assert heard == []


def test_a_tooltip_shows_the_figures_of_its_mark(opened: tuple[Page, list[str]]) -> None:
    tab, heard = opened
    bar = tab.locator("#chart svg [aria-label*='inline/held'][aria-label*='late from']").first
    bar.hover(position={"x": 40, "y": 8})
    tip = tab.locator("#vg-tooltip-element.visible")
    expect(tip).to_be_visible()
    for said in ("inline/held", "0.010 s", "2.005 s", "1995 ms", "198 of 199"):
        expect(tip).to_contain_text(said)
    tab.locator("#chart svg [aria-label*='thread/held'][aria-label*='median']").first.hover()
    for said in ("thread/held", "median", "100 ms", "20 of 200"):
        expect(tip).to_contain_text(said)
    tab.locator("#chart svg [aria-label*='thread/released'][aria-label*='tick due at']").nth(50).hover()
    for said in ("thread/released", "0.500 s", "0.502 s", "2.00 ms"):
        expect(tip).to_contain_text(said)
    assert heard == []


WATCHES = {
    "stalls of every cause": watched(
        *(stall(cause, 0.2 + number / 2, 0.3) for number, cause in enumerate(CAUSE_COLOURS))
    ),
    "no stall": watched(),
    "no time line": watched(stall("no CPU", 1.0, 0.1), timeline=None),
}


@pytest.mark.parametrize("report", WATCHES.values(), ids=WATCHES)
def test_the_page_of_a_watch_draws_without_a_network(browser: Browser, report: WatchReport, tmp_path: Path) -> None:
    with shown(browser, watch_page(report), tmp_path / "watch.html") as (tab, heard):
        assert tab.locator("#chart svg path[aria-label]").count() > 0
        for cause in report.snapshot.stalls:
            expect(tab.locator("#chart svg").get_by_text(cause, exact=True)).to_be_visible()
            expect(tab.locator("td").get_by_text(cause, exact=True)).to_be_visible()
        for width in (400, 1900):
            resize(tab, width)
            assert faults(tab) == []
        assert heard == []


def test_a_stall_and_a_moment_of_the_gil_show_their_figures_in_a_tooltip(browser: Browser, tmp_path: Path) -> None:
    with shown(browser, watch_page(WATCHES["stalls of every cause"]), tmp_path / "watch.html") as (tab, heard):
        tip = tab.locator("#vg-tooltip-element.visible")
        tab.locator("#chart svg [aria-label*='starved by a hog'][aria-label*='stalled for']").last.hover()
        for said in ("starved by a hog", "300 ms", "server.py:41 in report", "pool_0", "Task-7"):
            expect(tip).to_contain_text(said)
        tab.locator("#chart svg [aria-label*='pool_0: 100%']").first.hover()
        for said in ("pool_0", "100%"):
            expect(tip).to_contain_text(said)
        assert heard == []
