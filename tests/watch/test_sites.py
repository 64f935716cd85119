"""Stalls are added up by cause and place: a line, the lines of one handler, or the request that only a library answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.records.stall import Frame, Part, Stall
from gilscope.reports.watch import where
from gilscope.watch.sites import MAX_SITES, Sites
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


def test_requests_of_one_route_are_one_site() -> None:
    requests = [f"GET /users/{number}/export" for number in range(700)]
    (site,) = sites_of(*(replace(in_library(ENCODE, one), task=f"Task-{one}") for one in requests))
    assert (site.culprit, site.stalls, site.task) == (RUN_ASGI, 700, None)
    assert "on the stack: requests such as GET /users/699/export; innermost" in list(where(site))[1]


def test_paths_with_names_are_one_route_if_they_are_many() -> None:
    names = [f"GET /users/{chr(97 + number % 26)}{chr(97 + number // 26)}/export" for number in range(100)]
    slowest = replace(in_library(ENCODE, "GET /users/carla/export"), duration=0.9)
    few = [in_library(ENCODE, f"GET /{name}") for name in ("users", "health/db", "health/cache", *"abcdefghijklm")]
    export, *others = sites_of(slowest, *(in_library(ENCODE, one) for one in names), *few)
    assert (export.stalls, export.request, export.requests_differ) == (101, "GET /users/carla/export", True)
    assert [site.stalls for site in others] == [1] * len(few)


def test_more_names_than_sites_are_kept_are_still_one_route() -> None:
    names = (in_library(ENCODE, f"GET /users/{'x' * number}/export") for number in range(1, MAX_SITES + 200))
    (site,) = sites_of(*names)
    assert (site.culprit, site.stalls, site.many_places) == (RUN_ASGI, MAX_SITES + 199, False)


def test_a_route_is_told_from_another_by_its_words_only() -> None:
    dates = ["GET /days/2026-11-27/report", "GET /days/2026-11-28/report", "POST /days/2026-11-28/report"]
    assert [site.stalls for site in sites_of(*(in_library(ENCODE, one) for one in dates))] == [2, 1]


def test_of_places_that_are_too_many_nothing_is_said_that_is_true_of_some_only() -> None:
    many = sites_of(*(at_line(10 * line, 0.1, function=f"f_{line}") for line in range(MAX_SITES + 100)))
    (rest,) = [site for site in many if site.many_places]
    assert rest.stalls == MAX_SITES + 100 - (len(many) - 1)
    assert (rest.culprit, rest.thread, rest.callback, rest.task, rest.coroutine, rest.lines) == (*[None] * 5, ())
    assert list(where(rest)) == ["at many places, too many to keep apart"]


def test_a_line_that_was_not_sampled_is_not_one_of_too_many_places() -> None:
    lines = [at_line(10 * line, 0.1, function=f"f_{line}") for line in range(MAX_SITES + 100)]
    unknown = replace(at_line(1, 9.0), culprit=None, stack=())
    assert "in thread pool_0; the line was not sampled" in where(sites_of(*lines, unknown)[1])


def test_where_the_loop_was_is_said_only_if_it_was_there_in_every_stall() -> None:
    elsewhere = replace(at_line(41, 0.3), callback=Frame("/srv/server.py", 70, "ping"), task="Task-9", coroutine="ping")
    (site,) = sites_of(at_line(41, 0.3), elsewhere, at_line(41, 0.3))
    assert (site.callback, site.task, site.coroutine) == (None, None, None)
    assert not any("the loop was in" in line for line in where(site))
    (site,) = sites_of(at_line(41, 0.3), at_line(41, 0.3))
    assert "the loop was in /srv/server.py:90 in serve" in where(site)


def test_what_else_the_stalls_spent_time_on_is_added_up() -> None:
    part = Part(cause="blocked, waiting", culprit=ENCODE, thread=MAIN, seconds=0.1)
    (site,) = sites_of(replace(at_line(41, 0.3), parts=(part,)), replace(at_line(41, 0.3), parts=(part,)))
    assert site.parts == (replace(part, seconds=0.2),)
    assert any(line.startswith("of this, blocked, waiting: 200 ms at ") for line in where(site))


def test_other_lines_of_the_same_function_are_not_shown_as_parts() -> None:
    part = Part(cause="blocked, computing", culprit=Frame("/srv/server.py", 45, "report"), thread=MAIN, seconds=0.2)
    (site,) = sites_of(replace(at_line(41, 0.5), parts=(part,)))
    assert not any(line.startswith("of this") for line in where(site))
