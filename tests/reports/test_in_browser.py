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
from tests.support.busy import busy
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


LEAST_CONTRAST = """() => {
  const luminance = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
    .map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const page = getComputedStyle(document.body).backgroundColor;
  const texts = [...document.querySelectorAll("h1,h2,li,p,figcaption,dt,dd,label,.place")].map(one => contrast(getComputedStyle(one).color, page));
  const boxes = [...document.querySelectorAll(".flame button")].flatMap(one => {
    const { color, backgroundColor, backgroundImage } = getComputedStyle(one);
    const behind = backgroundImage === "none" ? [backgroundColor] : backgroundImage.match(/rgb\\([^)]*\\)/g);
    return behind.map(colour => contrast(color, colour));
  });
  return Math.min(...texts, ...boxes);
}"""

WATCHES = {
    "stalls of every cause": watched(
        *(stall(cause, 0.2 + number / 2, 0.3) for number, cause in enumerate(CAUSE_COLOURS))
    ),
    "no stall": watched(),
    "a busy loop": busy(),
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


def shown_labels(tab: Page) -> list[str]:
    return [label.split("  ")[0] for label in tab.locator(".flame button:visible").all_inner_texts()]


def test_a_box_of_the_flame_graph_widens_on_a_click_and_escape_shows_all_again(
    browser: Browser, tmp_path: Path
) -> None:
    with shown(browser, watch_page(busy()), tmp_path / "busy.html") as (tab, heard):
        everything = shown_labels(tab)
        says = tab.locator(".says")
        expect(says).to_contain_text("loop 83% busy: 8.30 s, 83% of the loop's time")
        tab.get_by_role("button", name="/srv/app/orders.py:43 in handler").click()
        expect(says).to_contain_text("/srv/app/orders.py:43 in handler: 1.90 s, 19% of the loop's time")
        assert shown_labels(tab) == [
            "loop 83% busy",
            "serve",
            "handler",
            "GIL held by asyncio_0 at /srv/app/parse.py:9 in parse",
        ]
        widths = tab.locator(".flame button:visible").evaluate_all("all => all.map(one => Math.round(one.offsetWidth))")
        assert widths[0] == widths[1] == widths[2] > 2 * widths[3] > 0
        tab.keyboard.press("Escape")
        assert shown_labels(tab) == everything
        assert heard == []


def test_the_arrow_keys_move_through_the_flame_graph_which_is_one_stop_of_the_tab_key(
    browser: Browser, tmp_path: Path
) -> None:
    with shown(browser, watch_page(busy()), tmp_path / "busy.html") as (tab, heard):
        tab.locator(".find input").focus()
        focused = tab.locator(".flame button:focus")
        for key, label in (
            ("Tab", "loop 83% busy"),
            ("ArrowDown", "serve  server.py:90"),
            ("ArrowDown", "handler  orders.py:41"),
            ("ArrowRight", "handler  orders.py:43"),
            ("ArrowLeft", "handler  orders.py:41"),
            ("Enter", "handler  orders.py:41"),
            ("ArrowDown", "dumps  __init__.py:231"),
            ("Home", "loop 83% busy"),
            ("Escape", "loop 83% busy"),
        ):
            tab.keyboard.press(key)
            expect(focused).to_have_text(label, use_inner_text=True)
            assert tab.locator(".flame button[tabindex='0']").count() == 1
        tab.keyboard.press("Tab")
        expect(focused).to_have_count(0)
        assert heard == []


def test_what_is_found_in_the_flame_graph_is_counted_once(browser: Browser, tmp_path: Path) -> None:
    with shown(browser, watch_page(busy()), tmp_path / "busy.html") as (tab, heard):
        for text, share in (
            ("HANDLER", "83% of the busy time"),
            ("poller", "14% of the busy time"),
            ("nothing", "0% of"),
        ):
            tab.locator(".find input").fill(text)
            expect(tab.locator(".find span")).to_contain_text(share)
        tab.locator(".find input").fill("")
        expect(tab.locator(".flame.searched")).to_have_count(0)
        assert heard == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_letters_of_a_page_can_be_read_in_light_and_in_dark(browser: Browser, tmp_path: Path, scheme: str) -> None:
    with shown(browser, watch_page(busy()), tmp_path / "busy.html") as (tab, _):
        tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert tab.evaluate(LEAST_CONTRAST) >= 4.5


def test_the_flame_graph_can_be_read_without_its_script(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "busy.html"
    file.write_text(watch_page(busy()), encoding="utf-8")
    context = browser.new_context(offline=True, java_script_enabled=False)
    tab = context.new_page()
    tab.goto(file.as_uri())
    expect(tab.get_by_title("/srv/app/orders.py:43 in handler: 1.90 s, 19% of the loop's time")).to_be_visible()
    expect(tab.locator(".find")).to_be_hidden()
    context.close()
