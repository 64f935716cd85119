"""Results out of JSON. What no run can have written is refused with the file and the field that it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from gilscope.records.base import SCHEMA, AtLeastOne, Record
from gilscope.records.result import Result
from gilscope.records.schema_1 import upgraded

if TYPE_CHECKING:
    from pathlib import Path

    from gilscope.records.watch_report import WatchReport

AnyResult = TypeVar("AnyResult", bound=Record)


class UnreadableError(ValueError):
    """A file is not a result that this gilscope can read; the text says which and why."""


class Header(msgspec.Struct):
    """As much of a file as tells whose it is; other fields are passed over."""

    format: str
    schema: AtLeastOne
    kind: str = "demo"


def read(file: Path) -> Result:
    """Read a result. Raises :class:`UnreadableError` for what is none, is truncated, or has a newer schema."""
    data = load(file)
    return _decoded(Result, data, _header(data, str(file)), str(file))


def load(file: Path) -> bytes:
    """Return what is in ``file``. Raises :class:`UnreadableError`."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise UnreadableError(f"cannot read {file}: {error.strerror}") from error


def decode(data: bytes, name: str) -> Result | WatchReport:
    """Return the result of any kind that ``data`` is; ``name`` is its file's. Raises what :func:`read` does."""
    from gilscope.records.watch_report import WatchReport

    header = _header(data, name)
    if header.kind == "watch":
        return _decoded(WatchReport, data, header, name)
    return _decoded(Result, data, header, name)


def _decoded(record: type[AnyResult], data: bytes, header: Header, name: str) -> AnyResult:
    try:
        if header.schema == 1:
            return msgspec.convert(upgraded(msgspec.json.decode(data)), type=record)
        return msgspec.json.decode(data, type=record)
    except msgspec.DecodeError as error:  # a field that cannot be, or a number that is none
        raise UnreadableError(f"{name} is a damaged gilscope result: {error}") from None


def _header(data: bytes, name: str) -> Header:
    try:
        header = msgspec.json.decode(data, type=Header)
    except msgspec.ValidationError:
        raise UnreadableError(
            f"{name} is JSON, but not a gilscope result: it has no format and schema of ours"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableError(f"{name} is not a gilscope result, or was cut short: {error}") from None
    if header.format != "gilscope":
        raise UnreadableError(f"{name} is not a gilscope result: its format is {header.format!r}")
    if header.schema > SCHEMA:
        raise UnreadableError(
            f"{name} has schema {header.schema}, and this gilscope reads up to {SCHEMA}: it was written by a newer one; "
            "upgrade gilscope to read it"
        )
    return header
