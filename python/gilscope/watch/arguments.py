"""The arguments of a watch: what they may be, and what to write instead."""

from __future__ import annotations

import os
import signal as signals
from pathlib import Path

from gilscope.durations import parse_duration, shown
from gilscope.watch.dumps import DumpSettings

MAX_SECONDS_WITHOUT_UNIT = 60
"""A stall of more seconds than this was probably meant in milliseconds."""
DUMP_SIGNALS = frozenset({signals.SIGUSR1, signals.SIGUSR2, signals.SIGHUP, signals.SIGQUIT})
"""Besides the real-time signals. Python, asyncio, profilers and the system use the others, or they cannot be caught."""


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
    folder = Path(os.fsdecode(value)).absolute()
    if not folder.is_dir():
        raise ValueError(f"dump_dir: {folder} is not a folder: make it first, or choose another one")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(
            f"dump_dir: no file can be written in {folder}: choose another folder, or change its permissions"
        )
    return folder


def dump_signal(value: object) -> int | None:
    """Return the number of the signal that requests a dump."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"dump_signal must be a signal such as signal.SIGUSR2, not {value!r}")
    if value in DUMP_SIGNALS or signals.SIGRTMIN <= value <= signals.SIGRTMAX:
        return int(value)
    raise ValueError(
        f"dump_signal: {_name(value)} cannot be used, because the system, Python or asyncio uses it: choose SIGUSR1, SIGUSR2, "
        "SIGHUP, SIGQUIT, or one from SIGRTMIN to SIGRTMAX"
    )


def _name(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:
        return str(number)
