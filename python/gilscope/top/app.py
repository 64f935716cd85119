"""Shows a process until it ends or someone quits."""

from __future__ import annotations

import errno
import os
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from gilscope.reports.console import PlainConsole
from gilscope.top.glyphs import glyphs
from gilscope.top.model import Model
from gilscope.top.plain import plain_line
from gilscope.top.terminal import Terminal
from gilscope.top.view import Choice, screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from gilscope.attach.live import Live
    from gilscope.top.keys import Key
    from gilscope.top.picture import Picture

SECONDS_BETWEEN_UPDATES = 1.0
SECONDS_TO_FIRST_UPDATE = 0.5
UPDATES_BETWEEN_LOOKS_FOR_CHILDREN = 10
SECONDS_BETWEEN_LOOKS = 0.1
"""Look this often whether a stall has begun, or the process has ended."""

PassOn = Callable[[signal.Signals], object]
Children = Callable[[], Iterable[int]]
"""Returns the child processes that run event loops."""
Why = Literal["quit", "ended"] | signal.Signals
"""Why the view is over: someone quit, the process ended, or this process received a signal."""


def can_draw() -> bool:
    """Whether stdout is a terminal that a view can be drawn on."""
    return (
        sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")
    )


def show(
    live: Live,
    *,
    threshold: float,
    command: tuple[str, ...] = (),
    output: str | None = None,
    pass_on: PassOn | None = None,
    children: Children = tuple,
) -> Why:
    """Show the process on stdout, drawn on a terminal, else as one line a second. Return why that is over.

    ``command`` is shown instead of the process's command line. SIGINT, SIGTERM and SIGHUP end the view, unless they are to be passed
    on to the process. If the process runs no event loop, the view names its ``children`` that do.
    """
    with caught_signals(pass_on) as caught:
        model = Model(live, threshold=threshold)
        if can_draw():
            keyboard = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
            choice = Choice(command=command or live.command, output=output, keys=keyboard is not None)
            try:
                return _draw(View(live, model, choice, children), keyboard, caught)
            except (OSError, termios.error) as error:
                if error.args[:1] == (errno.EIO,):  # the terminal is gone
                    return signal.SIGHUP
                raise
        return _print(View(live, model, Choice(), children), caught)


class View:
    """What the person at the terminal sees, and has chosen."""

    def __init__(self, live: Live, model: Model, choice: Choice, children: Children = tuple) -> None:
        self._live = live
        self._model = model
        self._choice = choice
        self._children = children
        self._found: tuple[int, ...] = ()
        self._updates = 0
        self._frozen: Picture | None = None
        self._picture = model.picture()

    @property
    def _shown(self) -> Picture:
        return self._frozen or self._picture

    @property
    def ended(self) -> bool:
        return self._live.ended

    def update(self) -> None:
        """Take what has happened since the last update."""
        self._model.update()
        self._look()
        self._updates += 1
        if (
            not self._picture.loops and self._updates % UPDATES_BETWEEN_LOOKS_FOR_CHILDREN == 2
        ):  # the first has no figures
            self._found = tuple(self._children())
            self._look()

    def line(self) -> str:
        """Return the figures of the last second in one line."""
        return plain_line(self._picture)

    def notice_stall(self) -> bool:
        """Show a stall that has begun since the last update. Return whether there is one: it may be over by the next."""
        late = {(it.loop, it.cause, it.culprit) for it in self._picture.now}
        now = self._live.now()
        if self._frozen is not None or all((it.loop, it.cause, it.culprit) in late for it in now):
            return False
        self._picture = self._picture._replace(now=tuple(sorted(now, key=lambda it: -it.seconds)))
        return True

    def press(self, key: Key) -> None:
        """Do what a key asks for, except to quit."""
        if key == "pause":
            self._pause()
        elif key == "reset":
            self._model.reset()
            self._frozen = None
            self._choice = self._choice._replace(paused=False)
        elif key in ("up", "down", "escape"):
            self._choice = self._choice._replace(thread=self._next_thread(key))
        self._look()

    def lines(self, width: int, rows: int, encoding: str) -> list[Text]:
        return screen(self._shown, self._choice, width=width, rows=rows, marks=glyphs(encoding))

    def _look(self) -> None:
        picture = self._model.picture()._replace(children=self._found)
        threads = [row.native_id for row in picture.threads if row.alive]
        self._picture = self._with_stacks(picture, [self._choice.thread] if self._choice.thread else threads[:1])

    def _with_stacks(self, picture: Picture, threads: list[int]) -> Picture:
        return picture._replace(stacks={thread: self._live.stack(thread) for thread in threads})

    def _pause(self) -> None:
        """Hold the picture, with the stacks of all threads as they are now; or go on."""
        if self._frozen is None:
            picture = self._model.picture()
            self._frozen = self._with_stacks(picture, [row.native_id for row in picture.threads if row.alive])
        else:
            self._frozen = None
        self._choice = self._choice._replace(paused=self._frozen is not None)

    def _next_thread(self, key: Key) -> int | None:
        threads = [row.native_id for row in self._shown.threads]
        if key == "escape" or not threads:
            return None
        if self._choice.thread not in threads:
            return threads[0 if key == "down" else -1]
        number = threads.index(self._choice.thread) + (1 if key == "down" else -1)
        return threads[number] if 0 <= number < len(threads) else None


def _draw(view: View, keyboard: int | None, caught: list[signal.Signals]) -> Why:
    console = PlainConsole(highlight=False, markup=False, emoji=False, force_terminal=True, legacy_windows=False)
    encoding = console.encoding
    with Terminal(console, keyboard) as terminal:
        due = time.monotonic() + SECONDS_TO_FIRST_UPDATE
        view.update()
        changed = True
        while not view.ended:
            if changed:
                width, rows = terminal.size
                terminal.draw(view.lines(width, rows, encoding))
            keys, changed = terminal.wait(min(due, time.monotonic() + SECONDS_BETWEEN_LOOKS))
            if caught:
                return caught[0]
            if "quit" in keys:
                return "quit"
            for key in keys:
                view.press(key)
                changed = True
            if time.monotonic() >= due:
                view.update()
                due = max(due + SECONDS_BETWEEN_UPDATES, time.monotonic())
                changed = True
            changed |= view.notice_stall()
    return "ended"


def _print(view: View, caught: list[signal.Signals]) -> Why:
    due = time.monotonic() + SECONDS_TO_FIRST_UPDATE
    view.update()
    while not view.ended:
        if caught:
            return caught[0]
        time.sleep(max(0.0, min(due - time.monotonic(), SECONDS_BETWEEN_LOOKS)))
        if time.monotonic() >= due:
            view.update()
            print(view.line(), flush=True)
            due = max(due + SECONDS_BETWEEN_UPDATES, time.monotonic())
    return "ended"


@contextmanager
def caught_signals(pass_on: PassOn | None = None) -> Iterator[list[signal.Signals]]:
    """Collect SIGINT, SIGTERM and SIGHUP, or pass them on, instead of ending by them: the terminal is restored, the summary printed."""
    caught: list[signal.Signals] = []
    handle = pass_on or caught.append
    numbers = [it for it in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(it) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda number, _: handle(signal.Signals(number))) for number in numbers}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
