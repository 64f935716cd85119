"""The result of a run, out of its JSON file, whatever kind of run it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gilscope.records.codec import UNDECODABLE, UnreadableError, decode
from gilscope.records.result import Result
from gilscope.records.watch_report import WatchReport

if TYPE_CHECKING:
    from pathlib import Path


class Kind(msgspec.Struct):
    """The fields that tell one kind of result from another. Other fields are ignored."""

    kind: str = "demo"
    record: str = ""


def read(file: Path) -> Result | WatchReport:
    """Return the result in ``file``. Raises :class:`UnreadableError`."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UnreadableError(f"cannot read {file}: {error.strerror}") from error
    return result_of(data, str(file))


def result_of(data: bytes, name: str) -> Result | WatchReport:
    """Return the result in ``data``; ``name`` is what errors call it. Raises :class:`UnreadableError`."""
    kind = _kind(data)
    if kind.record == "verdict":
        raise UnreadableError(
            f"{name} is a verdict of gilscope check; gilscope report reads the results of demo, compare and watch"
        )
    return decode(WatchReport, data, name) if kind.kind == "watch" else decode(Result, data, name)


def _kind(data: bytes) -> Kind:
    try:
        return msgspec.json.decode(data, type=Kind)
    except UNDECODABLE:
        return Kind()  # the decoder says what is wrong
