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
    """The field that tells one kind of result from another. Other fields are ignored."""

    kind: str = "demo"


def read(file: Path) -> Result | WatchReport:
    """Return the result in ``file``. Raises :class:`UnreadableError`."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UnreadableError(f"cannot read {file}: {error.strerror}") from error
    return result_of(data, str(file))


def result_of(data: bytes, name: str) -> Result | WatchReport:
    """Return the result in ``data``; ``name`` is what errors call it. Raises :class:`UnreadableError`."""
    if _kind(data) == "watch":
        return decode(WatchReport, data, name)
    return decode(Result, data, name)


def _kind(data: bytes) -> str | None:
    try:
        return msgspec.json.decode(data, type=Kind).kind
    except UNDECODABLE:
        return None  # the decoder says what is wrong
