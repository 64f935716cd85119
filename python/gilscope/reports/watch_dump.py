"""Writes a dump of the last minutes of a watch, in the same formats as ``gilscope watch -o``."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from gilscope.records.codec import encode
from gilscope.reports.files import OF_TIME, dump_formats, format_of
from gilscope.watch.bins import Hold, LoopLag
from gilscope.watch.child_count import uncounted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilscope.records.watch_report import WatchReport
    from gilscope.watch.excerpt import Trace

PAGE = ".html"
SECONDS_TO_DRAW = 120.0
BEAT, HOLD = struct.Struct("=QQ"), struct.Struct("=QQQ")


@contextmanager
def opened(path: Path) -> Iterator[Callable[[WatchReport, Callable[[], Trace]], None]]:
    """Yield a function that writes a report to ``path``. It replaces a file that is there, all at once.

    Raises ``ValueError`` for a suffix without a format, and ``OSError`` if ``path`` cannot be written, before anything else.
    """
    if path.name.lower().endswith(OF_TIME):
        raise ValueError(
            f"cannot write {path}: a dump has no stacks of busy loops, only gilscope watch -o {path.name} writes them"
        )
    format_of(path, dump_formats())
    target = Path(os.path.realpath(path))
    _must_be_replaceable(target, path)
    is_page = path.name.lower().endswith(PAGE)
    temporary = target.with_name(f".gilscope-{os.urandom(8).hex()}{PAGE if is_page else '.tmp'}")
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None

    def write(report: WatchReport, trace: Callable[[], Trace]) -> None:
        if not (is_page and _drawn_elsewhere(report, temporary)):
            once = cache(trace)
            formats = dump_formats(pid=os.getpid(), holds=_Holds(once), lags=_Lags(once))
            temporary.write_bytes(format_of(path, formats).encode(report))

    try:
        yield write
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _must_be_replaceable(target: Path, path: Path) -> None:
    if not target.exists():
        return
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not target.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _drawn_elsewhere(report: WatchReport, file: Path) -> bool:
    """Draw a page in a process of its own, and return whether that was possible.

    Here it would keep the GIL for about a second, and so stall what is watched.
    """
    if "python" not in Path(sys.executable or "").name:  # a program that embeds Python
        return False
    try:
        with uncounted():
            drawn = subprocess.run(
                [sys.executable, "-P", "-m", "gilscope", "report", "-", "-o", file],
                input=encode(report),
                capture_output=True,
                timeout=SECONDS_TO_DRAW,
                check=False,
            )
    except (OSError, subprocess.SubprocessError):
        return False
    return drawn.returncode == 0


class _Holds:
    """The holds of a trace, which is only fetched if they are wanted."""

    def __init__(self, trace: Callable[[], Trace]) -> None:
        self._trace = trace

    def __iter__(self) -> Iterator[Hold]:
        trace = self._trace()
        for thread, start, end in HOLD.iter_unpack(trace.holds):
            yield Hold(thread, trace.names.get(thread), start / 1e9 - trace.began, end / 1e9 - trace.began)


class _Lags:
    """The heartbeats, in the same way."""

    def __init__(self, trace: Callable[[], Trace]) -> None:
        self._trace = trace

    def __iter__(self) -> Iterator[LoopLag]:
        trace = self._trace()
        for at, lag in BEAT.iter_unpack(trace.beats):
            yield LoopLag(at / 1e9 - trace.began, lag / 1e9)
