"""Checks the arguments of a watch, one function for each."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from gilscope.durations import parse_duration, shown

if TYPE_CHECKING:
    from os import PathLike

OnHang = Literal["dump", "exit"]
"""What to do if a loop hangs: write all stacks, or also end the process."""


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
    if not path:
        raise ValueError("heartbeat_file must be the path of a file, not an empty string")
    return os.path.abspath(os.fsencode(path))  # noqa: PTH100 - bytes, and links are not followed
