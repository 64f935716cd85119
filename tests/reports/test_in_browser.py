"""The page in a real browser, without a network. Skipped, by name, where there is no Chromium."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from gilscope.records.result import Lag, Measure, Result, Trial
from gilscope.records.watch_report import WatchReport
from gilscope.reports.page import page
from gilscope.reports.watch_chart import COLOURS
from gilscope.reports.watch_page import page as watch_page
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.watched import stall, watched

Run = Callable[..., Result]
Finished = Callable[..., Trial]
Blocked = Callable[[str, float], Trial]

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(
        CHROMIUM is None,
        reason=f"no browser: none of {', '.join(NAMES)} is on the PATH (Debian: apt-get install chromium)",
    ),
]
OPTIONS = ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
OPTIONS += ["--disable-sync"]
PATIENCE = 120_000
"""Milliseconds that anything may take: a busy machine starts a browser in ten seconds."""
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS + as_root, timeout=PATIENCE)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(
    browser: Browser, run_of: Run, finished: Finished, blocked: Blocked, tmp_path: Path
) -> Iterator[tuple[Page, list[str]]]:
    """Open the page of a run without a network; give it with what it complained about or asked for."""
    died = Trial(case="thread/python", count=1, status="died", reason="killed by SIGSEGV <b>")
    result = run_of(
        blocked("inline/held", 2.005),
        finished("thread/held", came=20, p50=0.1, p99=0.3),
        finished("thread/released"),
        died,
    )
    with shown(browser, page(result), tmp_path / "run.html") as tab_and_heard:
        yield tab_and_heard


@contextmanager
def shown(browser: Browser, text: str, file: Path) -> Iterator[tuple[Page, list[str]]]:
    """Open ``text`` without a network, and wait until it is drawn; give it with what it complained about or asked for."""
    file.write_text(text, encoding="utf-8")
    context = browser.new_context(offline=True, viewport={"width": 1100, "height": 900})
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()
    heard: list[str] = []
    tab.on("console", lambda message: heard.append(f"console: {message.text}"))
    tab.on("pageerror", lambda error: heard.append(f"error: {error}"))
    tab.on("request", lambda request: heard.append(f"request: {request.url}"))
    tab.goto(file.as_uri())
    expect(tab.locator("#chart")).to_have_attribute("data-drawn", re.compile(r"\d+"))
    heard.remove(f"request: {file.as_uri()}")
    yield tab, heard
    context.close()


def test_the_page_draws_without_a_network_and_without_a_complaint(opened: tuple[Page, list[str]]) -> None:
    tab, heard = opened
    assert heard == []
    for case in ("idle", "inline/held", "thread/held", "thread/released"):
        expect(tab.locator("#chart svg").get_by_text(case, exact=True)).to_be_visible()
        expect(tab.locator("td").get_by_text(case, exact=True)).to_be_visible()
    assert tab.locator("#chart svg path[aria-label]").count() > 100
    expect(tab.get_by_text("Releasing the GIL is what makes a thread pool work")).to_be_visible()


def fits(tab: Page, width: int) -> None:
    tab.set_viewport_size({"width": width, "height": 900})
    across = "document.querySelector('figure').clientWidth"
    tab.wait_for_function(f"document.querySelector('#chart').dataset.drawn === String({across})")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    picture = tab.locator("#chart svg").bounding_box()
    assert picture is not None
    available = tab.evaluate(across)
    assert 0.85 * available < picture["width"] <= available + 1


@pytest.mark.parametrize("width", [400, 800, 1600])
def test_the_page_fits_its_window(opened: tuple[Page, list[str]], width: int) -> None:
    tab, heard = opened
    fits(tab, width)
    expect(tab.locator("#chart svg").get_by_text("thread/released", exact=True)).to_be_visible()
    assert heard == []


def test_a_narrow_window_has_letters_that_can_be_read(opened: tuple[Page, list[str]]) -> None:
    tab, _ = opened
    tab.set_viewport_size({"width": 400, "height": 900})
    tab.wait_for_function("Number(document.querySelector('#chart').dataset.drawn) < 400")
    sizes = tab.locator("#chart svg text").evaluate_all(
        "all => all.map(one => parseFloat(getComputedStyle(one).fontSize))"
    )
    assert min(sizes) >= 10
    overlap = tab.evaluate(
        """() => { const boxes = [...document.querySelectorAll('#chart svg .role-axis-label text')]
            .filter(one => getComputedStyle(one).opacity > 0 && one.textContent).map(one => one.getBoundingClientRect());
            return boxes.some((a, i) => boxes.slice(i + 1).some(b => a.left < b.right - 1 && b.left < a.right - 1
                && a.top < b.bottom - 1 && b.top < a.bottom - 1)); }"""
    )
    assert not overlap


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


def test_a_run_of_the_longest_names_and_the_widest_lags_fits_too(
    browser: Browser, run_of: Run, finished: Finished, tmp_path: Path
) -> None:
    lag = Lag(due=1, came=1, p50=2e-6, p90=1.0, p99=80.0, max=100.0)
    trial = finished("interpreter/python")
    assert trial.measure is not None
    measure = Measure(start_up=0.0, elapsed=100.0, tasks=1, rate=1.0, cpu=None, lag=lag, ticks=trial.measure.ticks)
    file = tmp_path / "run.html"
    file.write_text(page(run_of(Trial(case="interpreter/python", count=1, status="finished", measure=measure))))
    tab = browser.new_page(viewport={"width": 400, "height": 900})
    tab.set_default_timeout(PATIENCE)
    tab.goto(file.as_uri())
    expect(tab.locator("#chart")).to_have_attribute("data-drawn", re.compile(r"\d+"))
    assert tab.evaluate("document.documentElement.scrollWidth") <= 400
    tab.close()


WATCHES = {
    "stalls of every cause": watched(*(stall(cause, 0.2 + number / 2, 0.3) for number, cause in enumerate(COLOURS))),
    "no stall": watched(),
    "no time line": watched(stall("no CPU", 1.0, 0.1), timeline=None),
}


@pytest.mark.parametrize("report", WATCHES.values(), ids=WATCHES)
def test_the_page_of_a_watch_draws_without_a_network_and_fits_its_window(
    browser: Browser, report: WatchReport, tmp_path: Path
) -> None:
    with shown(browser, watch_page(report), tmp_path / "watch.html") as (tab, heard):
        assert tab.locator("#chart svg path[aria-label]").count() > 0
        for cause in report.snapshot.stalls:
            expect(tab.locator("#chart svg").get_by_text(cause, exact=True)).to_be_visible()
            expect(tab.locator("td").get_by_text(cause, exact=True)).to_be_visible()
        for width in (400, 800, 1600):
            fits(tab, width)
        assert heard == []


def test_the_names_beside_a_narrow_picture_of_a_watch_are_not_cut_off(browser: Browser, tmp_path: Path) -> None:
    with shown(browser, watch_page(WATCHES["stalls of every cause"]), tmp_path / "watch.html") as (tab, _):
        tab.set_viewport_size({"width": 400, "height": 900})
        tab.wait_for_function("Number(document.querySelector('#chart').dataset.drawn) < 400")
        left, right = tab.locator("#chart svg text").evaluate_all(
            """all => { const boxes = all.filter(one => one.textContent).map(one => one.getBoundingClientRect());
                return [Math.min(...boxes.map(box => box.left)), Math.max(...boxes.map(box => box.right))]; }"""
        )
        assert left >= 0
        assert right <= 400


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
