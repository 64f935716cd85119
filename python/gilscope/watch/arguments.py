"""Checks the arguments of a watch: each function returns the value that the native half takes."""

from __future__ import annotations

import errno
import os
import signal as signals
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gilscope._core import LogFile
from gilscope.durations import parse_duration, shown
from gilscope.watch.dumps import DumpSettings

if TYPE_CHECKING:
    from os import PathLike

OnHang = Literal["dump", "exit"]
"""What to do if a loop hangs: write all stacks, or also end the process."""

MAX_SECONDS_WITHOUT_UNIT = 60
"""A stall of more seconds than this was probably meant in milliseconds."""
DUMP_SIGNALS = frozenset({signals.SIGUSR1, signals.SIGUSR2, signals.SIGHUP, signals.SIGQUIT})
"""Besides the real-time signals. Python, asyncio, profilers and the system use the others, or they cannot be caught."""
STDERR = "stderr"
STDERR_DESCRIPTOR = 2


def log_file(log: str | os.PathLike[str] | int | None) -> LogFile | None:
    """Return the open file of a log: at a path, open already as a descriptor, or the program's stderr."""
    if log is None:
        return None
    if isinstance(log, bool) or not isinstance(log, str | os.PathLike | int):
        hint = ": pass its descriptor: log=FILE.fileno()" if hasattr(log, "fileno") else ""
        raise TypeError(f'log must be a path, a file descriptor or "stderr", not {log!r}{hint}')
    if isinstance(log, int) and log < 0:
        raise ValueError(f"log must be an open file descriptor, which is 0 or more, not {log}")
    if not isinstance(log, int):
        _must_be_path(log, "log")
    try:
        if log == STDERR:
            return _stderr()
        if isinstance(log, int):
            return LogFile.of(log)
        # The program may change its working directory before the file is opened again.
        return LogFile.at(os.fsencode(Path(log).absolute()))
    except OverflowError:
        raise OSError(errno.EBADF, f"cannot write the log to descriptor {log}: it is not open") from None
    except OSError as error:
        what = f"descriptor {log}" if isinstance(log, int) else f"{os.fspath(log)}"
        why = "it is not open for writing" if error.errno == errno.EBADF and what != STDERR else error.strerror
        raise OSError(error.errno, f"cannot write the log to {what}: {why}") from None


def _must_be_path(value: str | bytes | PathLike[str] | PathLike[bytes], name: str) -> None:
    path = os.fsencode(value)
    if not path:
        raise ValueError(f"{name} must be a path, not an empty string")
    if b"\0" in path:
        raise ValueError(f"{name} must be a path, without the NUL character in {value!r}")


def _stderr() -> LogFile:
    if sys.__stderr__ is None:  # it was closed when Python started, and its number may be another file's
        raise OSError(errno.EBADF, "it is closed")
    return LogFile.of(STDERR_DESCRIPTOR)


def hang(value: float | str | None, *, stall: float, name: str = "hang") -> float | None:
    """Return after how many seconds without a heartbeat a loop hangs; ``None`` for never."""
    if value is None:
        return None
    seconds = parse_duration(value, name=name)
    if seconds <= stall:
        raise ValueError(
            f"{name} ({shown(seconds)}) must be longer than the threshold of a stall ({shown(stall)}): "
            "a hang is a stall that does not end"
        )
    return seconds


def on_hang(value: OnHang | None, *, hang: float | None, name: str = "on_hang", needs: str = "hang=30") -> OnHang:
    """Return what to do if a loop hangs."""
    if value is None:
        return "dump"
    if not isinstance(value, str):
        raise TypeError(f"{name} must be 'dump' or 'exit', not {value!r}")
    if value not in {"dump", "exit"}:
        raise ValueError(f"{name} must be 'dump' or 'exit', not {value!r}")
    if hang is None:
        raise ValueError(f"{name} needs a time after which a loop hangs: add {needs}, for example")
    return value


def heartbeat_file(value: str | bytes | PathLike[str] | PathLike[bytes] | None) -> bytes | None:
    """Return the absolute path of the heartbeat file: the program may change its working directory."""
    if value is None:
        return None
    try:
        path = os.fspath(value)
    except TypeError:
        raise TypeError(f"heartbeat_file must be the path of a file, not {value!r}") from None
    _must_be_path(path, "heartbeat_file")
    return os.path.abspath(os.fsencode(path))  # noqa: PTH100 - bytes, and links are not followed


def dumps(*, on: object, directory: object, signal: object, stall: float) -> DumpSettings:
    """Return the settings of dumps. Raises ``ValueError`` and ``TypeError``."""
    if directory is not None and on is None and signal is None:
        raise ValueError("dump_dir needs dump_on or dump_signal: without them no dump is written there")
    return DumpSettings(on=dump_on(on, stall), directory=dump_dir(directory), signal=dump_signal(signal))


def dump_on(value: object, stall: float) -> float | None:
    """Return the seconds of the shortest stall that causes a dump."""
    if value is None:
        return None
    seconds = parse_duration(value, name="dump_on")
    if not isinstance(value, str) and seconds > MAX_SECONDS_WITHOUT_UNIT:
        raise ValueError(
            f"dump_on: {value!r} without a unit is {seconds:g} seconds: write '{seconds:g}ms', or '{seconds:g}s' if you mean it"
        )
    if seconds < stall:
        raise ValueError(
            f"dump_on: {value!r} is shorter than the threshold of a stall, {shown(stall)}: write at least that, or a lower stall="
        )
    return seconds


def dump_dir(value: object) -> Path | None:
    """Return the folder for dumps, which must exist."""
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"dump_dir must be the path of a folder, not {value!r}")
    _must_be_path(value, "dump_dir")
    folder = Path(os.fsdecode(value)).absolute()
    if not folder.is_dir():
        raise ValueError(f"dump_dir: {folder} is not a folder: make it first, or choose another one")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(
            f"dump_dir: no file can be written in {folder}: choose another folder, or change its permissions"
        )
    return folder


def dump_path(value: str | PathLike[str]) -> Path:
    """Return where to write a dump."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"path must be the path of a file, not {value!r}")
    _must_be_path(value, "path")
    return Path(os.fsdecode(value))


def dump_signal(value: object) -> int | None:
    """Return the number of the signal that requests a dump."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"dump_signal must be a signal such as signal.SIGUSR2, not {value!r}")
    if value not in DUMP_SIGNALS and not signals.SIGRTMIN <= value <= signals.SIGRTMAX:
        raise ValueError(
            f"dump_signal: {_name(value)} cannot be used, because the system, Python or asyncio uses it: choose SIGUSR1, SIGUSR2, "
            "SIGHUP, SIGQUIT, or one from SIGRTMIN to SIGRTMAX"
        )
    if signals.getsignal(value) == signals.SIG_IGN:  # in a new program the kernel keeps this, but no handler
        raise ValueError(
            f"dump_signal: the program ignores {_name(value)}, and so do the programs that it starts, which the signal would end "
            "if it were caught here: choose one that is not ignored, such as SIGUSR2"
        )
    return int(value)


def _name(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:
        return str(number)
