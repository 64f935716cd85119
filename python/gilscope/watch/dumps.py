"""Dumps of the last minutes: when one is written, where, and under which name."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from math import inf
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, NamedTuple

from gilscope._core import monotonic
from gilscope.formatting import duration
from gilscope.naming import place_of
from gilscope.watch.excerpt import excerpt, trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from gilscope.records.stall import Stall
    from gilscope.records.watch_report import WatchReport
    from gilscope.watch.excerpt import Reason, Source

log = logging.getLogger("gilscope")

SECONDS_BEFORE_A_STALL = 60.0
"""The dump that a stall causes begins this long before the end of the stall."""
SECONDS_OF_A_DUMP = 600.0
MAX_FILES = 20
"""A watch keeps this many of the dumps that stalls caused, the latest ones."""
SECONDS_BETWEEN_STALL_DUMPS = 5.0
"""After a dump, stalls are collected for this long. The next dump is of the longest of them."""
SUFFIX = ".json"

_lock = threading.Lock()
_latest = datetime.min.replace(tzinfo=UTC)


class DumpSettings(NamedTuple):
    """The arguments of a watch that are about dumps."""

    on: float | None = None
    """Write a dump after each stall longer than this many seconds."""
    directory: Path | None = None
    """Where dumps are written that are not given a path; ``None`` is the working directory when the watch starts."""
    signal: int | None = None


def write(path: Path, source: Source) -> None:
    """Write the last minutes to ``path``. Raises ``ValueError`` for a wrong suffix and ``OSError`` if ``path`` cannot be written."""
    with _opened()(path) as written:
        watcher = source.watcher()
        last = watcher.began + watcher.totals().elapsed
        report = excerpt(source, since=last - SECONDS_OF_A_DUMP, reason="call")
        written(report, partial(trace, watcher, report))


def _opened() -> Callable[[Path], AbstractContextManager[Callable[..., None]]]:
    found: Callable[[Path], AbstractContextManager[Callable[..., None]]] = resolve_name(
        resolve_name("gilscope:RESULT_VIEWS")["dump"]
    )
    return found


def _working_directory() -> Path:
    """Return the working directory. Raises ``OSError`` if no file can be written there."""
    try:
        folder = Path.cwd()
    except OSError as error:
        raise OSError(error.errno, "dumps are written in the working directory, which is gone: give dump_dir") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        why = "dumps are written in the working directory, where no file can be written: give dump_dir"
        raise PermissionError(errno.EACCES, why, str(folder))
    return folder


class Dumps:
    """The dumps of one watch that a signal or a stall causes. All is done in the thread that reports stalls."""

    def __init__(self, settings: DumpSettings, source: Source) -> None:
        self._settings = settings
        self._source = source
        # The program may change its working directory.
        self._directory = settings.directory or (_working_directory() if self._is_needed else Path())
        self._files: deque[Path] = deque()
        self._pending: tuple[Stall, float] | None = None
        self._next = -inf
        self.failed = 0
        if self._is_needed:
            _opened()  # imports what is needed to write: later that may be impossible

    @property
    def _is_needed(self) -> bool:
        return self._settings.on is not None or self._settings.signal is not None

    def timeout(self) -> float:
        """Return for how many seconds there is nothing to do, unless a stall or a signal comes."""
        return inf if self._pending is None else max(0.001, self._next - monotonic())

    def add(self, stall: Stall, ended: float) -> None:
        """Take note of a stall that ended at ``ended``, on the clock of ``time.monotonic``."""
        if self._settings.on is None or stall.duration <= self._settings.on:
            return
        if self._pending is None or stall.duration > self._pending[0].duration:
            self._pending = (stall, ended)

    def look(self, requests: int, *, last: bool = False) -> None:
        """Write what is due. ``requests`` is the number of signals that asked for a dump; ``last`` if the watch is ending."""
        if requests:
            self._write("signal", monotonic() - SECONDS_OF_A_DUMP)
        if self._pending is not None and (last or monotonic() >= self._next):
            (stall, ended), self._pending = self._pending, None
            self._write("stall", ended - SECONDS_BEFORE_A_STALL, stall)
            self._next = monotonic() + SECONDS_BETWEEN_STALL_DUMPS

    def _write(self, reason: Reason, since: float, stall: Stall | None = None) -> None:
        """Write one dump. That it cannot be written is logged once; the program goes on."""
        try:
            report = excerpt(self._source, since=since, reason=reason)
            path = self._directory / name(_moment(), stall)
            with _opened()(path) as written:
                written(report, partial(trace, self._source.watcher(), report))
        except Exception as error:  # noqa: BLE001 - a full disk, a directory that is gone, or whatever else
            self.failed += 1
            if self.failed == 1:
                _say(f"gilscope cannot write a dump: {_reason(error)}")
            return
        _say(_said(report, stall, path))
        if stall is not None:
            self._files.append(path)
            while len(self._files) > MAX_FILES:
                with suppress(OSError):
                    self._files.popleft().unlink()


def name(at: datetime, stall: Stall | None) -> str:
    """Return the name of a dump's file that is written at a moment, in UTC. Names sort by time."""
    time = f"{at:%Y%m%dT%H%M%S}.{at.microsecond // 1000:03}Z"
    about = "" if stall is None else f"-{stall.duration:.2f}s-{stall.cause.replace(',', '').replace(' ', '-')}"
    return f"gilscope-{time}-{os.getpid()}{about}{SUFFIX}"


def _moment() -> datetime:
    """Return the time of day in UTC, to the millisecond. No two calls in a process return the same, so no file is replaced."""
    global _latest  # noqa: PLW0603 - one for the process, as file names are
    with _lock:
        now = datetime.now(UTC)
        now -= timedelta(microseconds=now.microsecond % 1000)
        _latest = max(now, _latest + timedelta(milliseconds=1))
        return _latest


def _say(sentence: str) -> None:
    """Log a sentence. What the program has made of logging may fail."""
    with suppress(Exception):
        log.warning("%s", sentence)


def _said(report: WatchReport, stall: Stall | None, path: Path) -> str:
    span = duration(report.snapshot.elapsed)
    if stall is None:
        return f"gilscope: wrote the last {span} to {path}"
    at = f" at {place_of(stall.culprit)}" if stall.culprit else ""
    return f"gilscope: an event loop stalled for {duration(stall.duration)} ({stall.cause}{at}): wrote the last {span} to {path}"


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, (OSError, ValueError)) else f"{type(error).__name__}: {error}"


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - a thread that the child does not have may have held it
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
