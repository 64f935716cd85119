"""What the person at the terminal chooses, on a made-up process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.attach.live import StallNow
from gilscope.top.app import View
from gilscope.top.model import Model
from gilscope.top.view import Choice

from tests.top.service import MAIN, PARSE, POOL, STACK, Service

if TYPE_CHECKING:
    from gilscope.top.keys import Key

LATE = StallNow(1, 0.06, "starved by a hog", PARSE, POOL)


class Shown:
    """A view of a made-up service after ten seconds."""

    def __init__(self, loops: int = 1) -> None:
        self.service = Service()
        self.service.loops = loops
        self.view = View(self.service, Model(self.service, threshold=0.05), Choice(), self.children)
        self.looked = 0
        self.pass_time(10)

    def children(self) -> list[int]:
        """Return the child processes that run event loops."""
        self.looked += 1
        return [8610, 8612]

    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.service.at += 1
            self.view.update()

    def press(self, *keys: Key) -> str:
        for key in keys:
            self.view.press(key)
        return self.text()

    def text(self) -> str:
        return "\n".join(line.plain for line in self.view.lines(80, 24, "utf-8"))


def test_the_arrows_go_through_the_threads_and_beyond_the_last_none_is_chosen() -> None:
    shown = Shown()
    assert "STACK" not in shown.text()
    assert "STACK of MainThread" in shown.press("down")
    assert "STACK of asyncio_0" in shown.press("down")
    assert "STACK of thread 103" in shown.press("down")
    assert "STACK" not in shown.press("down")
    assert "STACK of thread 103" in shown.press("up")
    assert "STACK" not in shown.press("escape")


def test_a_choice_follows_the_thread_and_not_the_row() -> None:
    shown = Shown()
    shown.press("down", "down")
    shown.service.others = []
    shown.service.threads = lambda: [POOL]  # type: ignore[method-assign]
    assert "STACK of asyncio_0" in shown.press()
    shown.pass_time(1)
    assert "STACK of asyncio_0" in shown.text()


def test_a_pause_keeps_figures_and_all_stacks_of_that_moment() -> None:
    shown = Shown()
    before = shown.press("pause")
    assert "PAUSED at 0:10" in before
    shown.service.stacks[MAIN.native_id] = ()
    shown.pass_time(5)
    assert shown.text() == before
    assert str(STACK[0]) in shown.press("down")
    assert "PAUSED at 0:10" in shown.text()
    after = shown.press("pause")
    assert "0:15" in after
    assert "the stack cannot be read at this moment" in after


def test_a_reset_also_ends_a_pause() -> None:
    shown = Shown()
    shown.press("pause")
    after = shown.press("reset")
    assert "PAUSED" not in after
    assert "no figures yet" in after


def test_a_stall_that_begins_between_two_updates_is_shown_once() -> None:
    shown = Shown()
    assert not shown.view.notice_stall()
    shown.service.late = (LATE,)
    assert shown.view.notice_stall()
    assert "STALL: loop 1 late by 60.0 ms" in shown.text()
    assert not shown.view.notice_stall()
    shown.service.late = ()
    assert not shown.view.notice_stall(), "it stays until the next update"
    shown.pass_time(1)
    assert "no loop is stalled now" in shown.text()


def test_a_process_without_a_loop_names_its_children_that_run_one() -> None:
    shown = Shown(loops=0)
    assert "LOOPS  no event loop runs here, but in the child processes 8610 and 8612\n" in shown.text()
    assert shown.view.line().startswith(
        "10.0 s: no event loop runs here, but in the child processes 8610 and 8612; GIL"
    )
    assert shown.looked == 1
    shown.pass_time(10)
    assert shown.looked == 2, "children are started later, too"


def test_a_process_with_a_loop_is_not_asked_for_its_children() -> None:
    assert Shown().looked == 0


def test_while_the_view_is_paused_no_stall_changes_it() -> None:
    shown = Shown()
    shown.press("pause")
    shown.service.late = (LATE,)
    assert not shown.view.notice_stall()
    assert "no loop is stalled now" in shown.text()
