"""Whatever goes wrong with one stall, the others are reported, and the one that was not judged is counted."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from gilscope.watch import session as sessions
from gilscope.watch.session import Session, Settings

from tests.support.watched import stall

if TYPE_CHECKING:
    import pytest
    from gilscope.records.stall import Stall

FIRST, SECOND = stall("blocked, computing", 1.0, 0.3), stall("blocked, waiting", 2.0, 0.3)


def reported(
    monkeypatch: pytest.MonkeyPatch, reports: list[Any], *, on_stall: Any = None, listener: Any = None
) -> Session:
    """Return a session whose native half has found ``reports``: stalls, and exceptions that judging them raises."""

    def judge(report: Any, **_: object) -> Stall:
        if isinstance(report, BaseException):
            raise report
        found: Stall = report
        return found

    monkeypatch.setattr(sessions, "judge", judge)
    left = iter(reports)
    watcher: Any = SimpleNamespace(
        gil_unreadable=None,
        began=0.0,
        has_ended=True,
        next_stall=lambda _: next(left, None),
        take_dump_requests=lambda: 0,
    )
    session = Session(Settings(0.05, 0.001, 0.05, on_stall, trace=False, read_gil=True), listener)
    session._report_stalls(watcher)
    return session


def test_a_stall_that_cannot_be_judged_is_counted_and_the_next_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    session = reported(monkeypatch, [FIRST, ValueError("no"), IndexError("no"), SECOND])
    assert session._sites.stalls() == {"blocked, computing": 1, "blocked, waiting": 1}
    assert session._unrecorded == 2


def test_on_stall_that_exits_ends_no_reporting(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Stall] = []

    def exit_at_each(one: Stall) -> None:
        told.append(one)
        sys.exit(3)

    reported(monkeypatch, [FIRST, SECOND], on_stall=exit_at_each)
    assert told == [FIRST, SECOND]


def test_a_listener_that_fails_costs_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    def updated(*_: object, **__: object) -> None:
        raise OSError("no space left")

    listener = SimpleNamespace(timeout=lambda: 1.0, updated=updated, child_started=lambda: None)
    session = reported(monkeypatch, [FIRST, SECOND], listener=listener)
    assert sum(session._sites.stalls().values()) == 2
