"""A record as JSON, and a record from JSON: the one reader and the one writer."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from gilscope.records.base import SCHEMA, AtLeastOne, Record
from gilscope.records.schema_1 import upgraded

if TYPE_CHECKING:
    from pathlib import Path

AnyRecord = TypeVar("AnyRecord", bound=Record)

UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding bytes as JSON raises, a wrong type of a field included."""


class UnreadableError(ValueError):
    """A text is not a record that this gilscope can read; the message names the file and the reason."""


class Header(msgspec.Struct):
    """The fields that every record has. Other fields are ignored."""

    format: str
    schema: AtLeastOne


def encode(record: Record) -> bytes:
    """Return ``record`` as indented JSON, with a newline at its end."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def write(record: Record, file: Path) -> None:
    """Write ``record`` to ``file`` as JSON."""
    file.write_bytes(encode(record))


def decode(record: type[AnyRecord], data: bytes, name: str) -> AnyRecord:
    """Return the record in ``data``, of this schema or an older one; ``name`` is the file's, for errors.

    Raises :class:`UnreadableError` for anything else: not JSON, cut short, of another program, of a newer schema, or with
    a value that no run can have written.
    """
    header = _header(data, name)
    try:
        if header.schema == 1:
            return msgspec.convert(upgraded(msgspec.json.decode(data)), type=record)
        return msgspec.json.decode(data, type=record)
    except UNDECODABLE as error:
        raise UnreadableError(f"{name} is a damaged gilscope result: {error}") from None


def _header(data: bytes, name: str) -> Header:
    try:
        header = msgspec.json.decode(data, type=Header)
    except msgspec.ValidationError:
        raise UnreadableError(
            f"{name} is JSON, but not a gilscope result: gilscope's format and schema fields are missing"
        ) from None
    except UNDECODABLE as error:
        raise UnreadableError(f"{name} is not a gilscope result, or was cut short: {error}") from None
    if header.format != "gilscope":
        raise UnreadableError(f"{name} is not a gilscope result: its format is {header.format!r}")
    if header.schema > SCHEMA:
        raise UnreadableError(
            f"{name} has schema {header.schema}, but this gilscope reads up to schema {SCHEMA}: upgrade gilscope to read it"
        )
    return header
