"""The terminal while the view has it, and how it is given back: at the end, after an exception, and while the view is suspended.

The view is on the alternate screen, so what the terminal showed before is there again afterwards. Keys arrive one by one and
are not echoed; Ctrl-C and Ctrl-Z stay signals.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import termios
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from rich.console import ConsoleDimensions
from rich.control import Control
from rich.screen import Screen

from gilscope.top.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.text import Text

    from gilscope.top.keys import Key

SECONDS_TO_COMPLETE_A_KEY = 0.05
"""If nothing follows the byte of Escape for this long, it was not the beginning of an arrow."""
USUAL_SIZE = os.terminal_size((80, 24))
LINE_FLAGS = 3
"""The index of the flags for line input in what ``termios.tcgetattr`` returns; that of the characters is :data:`CHARACTERS`."""
CHARACTERS = 6


class Terminal:
    """A context manager: inside of it, the view has the terminal."""

    def __init__(self, console: Console, keyboard: int | None) -> None:
        self._console = console
        self._keyboard = keyboard
        self._usual: list[Any] | None = None
        self._keys = Keys()
        self._before: dict[int, Any] = {}
        self._arrived: set[int] = set()
        self._resize()

    def __enter__(self) -> Self:
        self._woken, wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(wake, False)
        self._wake = wake
        self._wakeup_before = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT):
            if signal.getsignal(number) != signal.SIG_IGN:  # there is no shell that would continue this process
                self._before[number] = signal.signal(number, self._note)
        try:
            self._take()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._woken)
        os.close(self._wake)
        self._give_back()

    @property
    def size(self) -> ConsoleDimensions:
        return self._console.size

    def draw(self, lines: Sequence[Text]) -> None:
        """Show these lines."""
        self._console.control(Control.home())
        self._console.print(Screen(*lines), end="")

    def wait(self, until: float) -> tuple[list[Key], bool]:
        """Wait for keys, for a signal, or until this moment of the monotonic clock.

        Return the keys, and whether the view must be drawn again because the terminal's size changed or it was suspended.
        Raises ``OSError`` (``EIO``) if the terminal is gone.
        """
        if self._keys.incomplete:
            until = min(until, time.monotonic() + SECONDS_TO_COMPLETE_A_KEY)
        files = [self._woken] if self._keyboard is None else [self._woken, self._keyboard]
        ready, _, _ = select.select(files, [], [], max(0.0, until - time.monotonic()))
        if self._woken in ready:
            with suppress(BlockingIOError):
                os.read(self._woken, 1024)
        keys: list[Key] = [] if ready else self._keys.flush()
        if self._keyboard in ready:
            keys = self._keys_from(self._keyboard)
        return keys, self._handle_signals()

    def _keys_from(self, keyboard: int) -> list[Key]:
        data = os.read(keyboard, 1024)
        if not data:  # it was closed, and the signal that says so has not arrived yet
            raise OSError(errno.EIO, "the terminal is gone")
        return self._keys.feed(data)

    def _note(self, number: int, _: object) -> None:
        """Handle a signal. The loop of the view does what is to be done: a handler runs in the middle of anything."""
        self._arrived.add(number)

    def _handle_signals(self) -> bool:
        arrived, self._arrived = self._arrived, set()
        if signal.SIGTSTP in arrived:
            self._suspend()
        elif signal.SIGCONT in arrived:  # the shell may have changed the terminal's settings
            self._take()
        if arrived:
            self._resize()
            self._console.control(Control.clear())
        return bool(arrived)

    def _suspend(self) -> None:
        """Give the terminal back and stop like any other program; return when the shell has continued this process."""
        self._give_back()
        ours = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, ours)
        self._arrived.discard(signal.SIGCONT)
        self._take()

    def _take(self) -> None:
        self._console.control(Control.alt_screen(enable=True), Control.show_cursor(show=False))
        if self._keyboard is None:
            return
        settings = termios.tcgetattr(self._keyboard)
        if self._usual is None:
            self._usual = settings[:]
            self._usual[CHARACTERS] = settings[CHARACTERS][:]
        settings[LINE_FLAGS] &= ~(termios.ICANON | termios.ECHO)
        settings[CHARACTERS][termios.VMIN], settings[CHARACTERS][termios.VTIME] = 1, 0
        termios.tcsetattr(self._keyboard, termios.TCSADRAIN, settings)

    def _give_back(self) -> None:
        with suppress(OSError):  # the terminal is gone
            self._console.control(Control.show_cursor(show=True), Control.alt_screen(enable=False))
        if self._keyboard is not None and self._usual is not None:
            with suppress(termios.error):
                # What was typed meanwhile was for the view, not for the shell.
                termios.tcsetattr(self._keyboard, termios.TCSAFLUSH, self._usual)

    def _resize(self) -> None:
        try:
            size = os.get_terminal_size(self._console.file.fileno())
        except (OSError, ValueError):
            size = USUAL_SIZE
        self._console.size = ConsoleDimensions(*(size if all(size) else USUAL_SIZE))
