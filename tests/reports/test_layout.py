"""Pages and pictures fit their window with any font: the browser measures the text. Skipped, by name, where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from gilscope.demo.cases import CASES
from gilscope.records.result import Lag, Measure, Trial
from gilscope.records.stall import Frame
from gilscope.reports.files import FORMATS
from gilscope.reports.page import page
from gilscope.reports.style import CAUSE_COLOURS
from gilscope.reports.watch_page import page as watch_page
from playwright.sync_api import sync_playwright

from tests.support.browser import CHROMIUM, FONTS, NAMES, faults, launch, missing, resize, shown
from tests.support.constructed import compared, no_way, verdict, way
from tests.support.watched import stall, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gilscope.records.result import Result
    from gilscope.records.watch_report import WatchReport
    from playwright.sync_api import Browser

    Run = Callable[..., Result]
    Finished = Callable[..., Trial]

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.usefixtures("vl_convert_is_open"),
    pytest.mark.skipif(
        CHROMIUM is None,
        reason=f"no browser: none of {', '.join(NAMES)} is on the PATH (Debian: apt-get install chromium)",
    ),
]
WIDEST_FONT = "DejaVu Sans"
WIDTHS = (400, 761, 800, 1300, 1900)
"""In pixels. At 761 a table is widest for its window: below, each of its rows is a paragraph."""
LONG_PATH = "/srv/" + "a-rather-long-folder/" * 5 + "and_a_file_without_any_separators" * 3 + ".py"
KINDS_OF_RESULT = ("demo", "compare", "30 cases with long names")


def needs(font: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(missing(font), reason=f"{font} is not installed")


@pytest.fixture(scope="module", params=[pytest.param(font, marks=needs(font)) for font in FONTS])
def font(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def browser(font: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Start a browser with each of the fonts."""
    with sync_playwright() as playwright:
        yield launch(playwright, font, tmp_path_factory.mktemp("fonts"))


@pytest.fixture(scope="module")
def results(run_of: Run, finished: Finished) -> dict[str, Result]:
    trials = [finished(case.name, came=150, p50=0.1, p99=1.234) for case in CASES]
    extreme = Lag(due=1_000_000, came=900_000, p50=2e-6, p90=1.0, p99=80.0, max=100.0)
    measured = trials[0].measure
    assert measured is not None
    long = Measure(start_up=0.0, elapsed=100.0, tasks=1, rate=1e6, cpu=None, lag=extreme, ticks=measured.ticks)
    names = [f"executor_number_{number}/of a library with a long name" for number in range(27)]
    names += ["ExecutorOfAClassWithoutAnySeparator" * 2, "interpreter/python", "x"]
    unavailable = Trial(case="dask/python", count=1, status="unavailable", reason=f"cannot import {LONG_PATH}")
    return {
        "demo": run_of(*trials, unavailable, interrupted=True),
        "compare": compared(
            verdict("releases", 0.1), way("process", 0.02, argument_bytes=10**7), no_way("interpreter")
        ),
        "30 cases with long names": run_of(
            *(Trial(case=name, count=1, status="finished", measure=long) for name in names)
        ),
    }


def watches() -> dict[str, WatchReport]:
    every_cause = [stall(cause, 0.2 + number / 2, 0.3) for number, cause in enumerate(CAUSE_COLOURS)]
    long = [
        msgspec.structs.replace(
            one, culprit=Frame(LONG_PATH, 123456, "function"), callback=Frame(LONG_PATH, 1, "f" * 80)
        )
        for one in every_cause
    ]
    return {
        "watch": watched(*every_cause),
        "watch with long names": watched(*long, command=(LONG_PATH, "--an-option", "value" * 30)),
    }


@pytest.fixture(scope="module")
def pages(results: dict[str, Result]) -> dict[str, str]:
    """Make each page once: the fonts differ only in the browser."""
    return {kind: page(result) for kind, result in results.items()} | {
        kind: watch_page(report) for kind, report in watches().items()
    }


@pytest.fixture(scope="module")
def pictures(results: dict[str, Result]) -> dict[str, bytes]:
    return {kind: FORMATS[".svg"].encode(result) for kind, result in results.items()}


@pytest.mark.parametrize(
    ("font", "kind"),
    [
        pytest.param(font, kind, marks=needs(font))
        for font in FONTS
        for kind in [*KINDS_OF_RESULT, *watches()]
        if font == WIDEST_FONT or "long names" in kind
    ],
    indirect=["font"],
)
def test_a_page_fits_its_window(kind: str, pages: dict[str, str], font: str, browser: Browser, tmp_path: Path) -> None:
    found = {}
    with shown(browser, pages[kind], tmp_path / "page.html") as (tab, heard):
        for width in WIDTHS if font == WIDEST_FONT else (WIDTHS[0], WIDTHS[-1]):
            resize(tab, width)
            if wrong := faults(tab):
                found[width] = wrong
        assert heard == []
    assert found == {}


@pytest.mark.parametrize("kind", KINDS_OF_RESULT)
def test_a_picture_in_a_file_has_room_for_the_font_of_whoever_opens_it(
    kind: str, pictures: dict[str, bytes], browser: Browser, tmp_path: Path
) -> None:
    file = tmp_path / "picture.svg"
    file.write_bytes(pictures[kind])
    tab = browser.new_page(viewport={"width": 1300, "height": 1600})
    tab.goto(file.as_uri())
    assert faults(tab) == []
    tab.close()


def test_a_thread_whose_name_has_no_room_loses_the_beginning_of_its_name(browser: Browser, tmp_path: Path) -> None:
    report = watched(stall("starved by a hog", 1.0, 0.3))
    line = report.timeline
    assert line is not None
    held = [msgspec.structs.replace(track, thread=f"{'ThreadPoolExecutor ' * 8}number 7") for track in line.held]
    report = msgspec.structs.replace(report, timeline=msgspec.structs.replace(line, held=held))
    with shown(browser, watch_page(report), tmp_path / "watch.html") as (tab, _):
        resize(tab, 400)
        (shortened,) = faults(tab)
    assert shortened.startswith("shortened in the picture: \u2026")
    assert shortened.endswith("number 7")
