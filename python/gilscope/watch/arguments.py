"""Checks the arguments of a watch: each function returns the value that the native half takes."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from gilscope._core import LogFile

STDERR = "stderr"
STDERR_DESCRIPTOR = 2


def log_file(log: str | os.PathLike[str] | int | None) -> LogFile | None:
    """Return the open file of a log: at a path, open already as a descriptor, or the program's stderr."""
    if log is None:
        return None
    if isinstance(log, bool) or not isinstance(log, str | os.PathLike | int):
        hint = f": pass log={log!r}.fileno()" if hasattr(log, "fileno") else ""
        raise TypeError(f'log must be a path, a file descriptor or "stderr", not {log!r}{hint}')
    if isinstance(log, int) and log < 0:
        raise ValueError(f"log must be an open file descriptor, which is 0 or more, not {log}")
    if not isinstance(log, int) and not os.fspath(log):
        raise ValueError('log must be a path, a file descriptor or "stderr", not an empty path')
    try:
        if log == STDERR:
            return _stderr()
        if isinstance(log, int):
            return LogFile.of(log)
        # The program may change its working directory before the file is opened again.
        return LogFile.at(os.fsencode(Path(log).absolute()))
    except OSError as error:
        what = f"descriptor {log}" if isinstance(log, int) else f"{os.fspath(log)}"
        raise OSError(error.errno, f"cannot write the log to {what}: {error.strerror}") from None


def _stderr() -> LogFile:
    if sys.__stderr__ is None:  # it was closed when Python started, and its number may be another file's
        raise OSError(errno.EBADF, "it is closed")
    return LogFile.of(STDERR_DESCRIPTOR)
