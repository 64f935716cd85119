"""Stalls are added up by cause and place: a line, the lines of one handler, or the request that only a library answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.records.stall import Frame, Part, Stall
from gilscope.reports.watch import where
from gilscope.watch.sites import Sites
from msgspec.structs import replace

from tests.support.watched import MAIN, stall

if TYPE_CHECKING:
    from gilscope.records.stall import Site

ENCODE = Frame("/venv/site-packages/fastapi/encoders.py", 340, "jsonable_encoder")
LIST_ITEM = Frame("/venv/site-packages/fastapi/encoders.py", 333, "jsonable_encoder")
RUN_ASGI = Frame("/venv/site-packages/uvicorn/httptools_impl.py", 411, "RequestResponseCycle.run_asgi")


def sites_of(*stalls: Stall) -> tuple[Site, ...]:
    sites = Sites()
    for one in stalls:
        sites.add(one)
    return sites.ranked()


def at_line(line: int, seconds: float, *, function: str = "report") -> Stall:
    return stall("blocked, computing", 1.0, seconds, function=function, line=line)


def in_library(innermost: Frame, request: str) -> Stall:
    return replace(
        stall("blocked, computing", 1.0, 0.2),
        culprit=innermost,
        culprit_thread=MAIN,
        stack=(innermost, *[LIST_ITEM] * 6, RUN_ASGI),
        callback=RUN_ASGI,
        request=request,
        task="Task-7",
    )


def test_neighbouring_lines_of_one_handler_are_one_site() -> None:
    (site,) = sites_of(at_line(41, 0.1), at_line(42, 0.3), at_line(41, 0.1))
    assert site.culprit is not None
    assert (site.culprit.line, site.lines, site.stalls, site.stalled) == (42, (41, 42), 3, 0.5)
    assert "lines 41, 42" in where(site)


def test_lines_that_are_far_apart_or_of_another_handler_are_not() -> None:
    assert len(sites_of(at_line(41, 0.1), at_line(80, 0.1))) == 2
    assert len(sites_of(at_line(41, 0.1), at_line(42, 0.1, function="other"))) == 2
    assert len(sites_of(at_line(41, 0.1), replace(at_line(42, 0.1), coroutine="other"))) == 2
    assert len(sites_of(at_line(41, 0.1), replace(at_line(42, 0.1), cause="blocked, waiting"))) == 2


def test_without_code_of_the_users_the_site_is_the_request() -> None:
    slow = [in_library(ENCODE, "GET /report"), in_library(LIST_ITEM, "GET /report")]
    report, other = sites_of(*slow, in_library(ENCODE, "GET /other"))
    assert (report.culprit, report.stalls, report.request) == (RUN_ASGI, 2, "GET /report")
    assert (other.culprit, other.stalls) == (RUN_ASGI, 1)
    lines = list(where(report))
    assert lines[0].endswith("httptools_impl.py:411 in RequestResponseCycle.run_asgi (thread MainThread)")
    assert "request GET /report, task Task-7" in lines[1]
    assert len(lines) == 2 + 5


def test_what_else_the_stalls_spent_time_on_is_added_up() -> None:
    part = Part(cause="blocked, waiting", culprit=ENCODE, thread=MAIN, seconds=0.1)
    (site,) = sites_of(replace(at_line(41, 0.3), parts=(part,)), replace(at_line(41, 0.3), parts=(part,)))
    assert site.parts == (replace(part, seconds=0.2),)
    assert any(line.startswith("of this, blocked, waiting: 200 ms at ") for line in where(site))


def test_other_lines_of_the_same_function_are_not_shown_as_parts() -> None:
    part = Part(cause="blocked, computing", culprit=Frame("/srv/server.py", 45, "report"), thread=MAIN, seconds=0.2)
    (site,) = sites_of(replace(at_line(41, 0.5), parts=(part,)))
    assert not any(line.startswith("of this") for line in where(site))
