"""The result of a run, out of its JSON file, whatever kind of run it was."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from gilscope.records.codec import UNDECODABLE, UnreadableError, decode
from gilscope.records.result import Result
from gilscope.records.watch_report import WatchReport

if TYPE_CHECKING:
    from pathlib import Path


GIVE = "give the JSON file that -o FILE.json or --json FILE of gilscope demo, compare or watch has written"

VERDICTS = re.compile(rb'\[?\{"format":"gilscope","schema":\d+,"record":"(verdict|failedcheck)"')
"""How the output of ``gilscope check --json`` begins, without its blanks: one verdict in older versions, a list since."""


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
    if complaint := _not_a_record(data, name):
        raise UnreadableError(f"{name} {complaint}")
    kind = _kind(data)
    return decode(WatchReport, data, name) if kind.kind == "watch" else decode(Result, data, name)


def _not_a_record(data: bytes, name: str) -> str:
    """Return what ``data`` is, and what to do with it or to give instead; empty if it may be a result."""
    text = data.lstrip()
    head = b"".join(text[:1000].split())
    found = {
        f"is empty, or was cut short: {GIVE}": not text,
        f"is a Python file: to run it, write gilscope watch {name}": name.endswith((".py", ".pyc", ".pyz")),
        f"is a page, to be opened in a browser: {GIVE}": head[:9].lower() == b"<!doctype"
        or head[:5].lower() == b"<html",
        f"is not JSON: {GIVE}": text[:1] not in (b"{", b"["),
        f"has verdicts of gilscope check, which prints them itself: {GIVE}": VERDICTS.match(head) is not None,
        f"is a trace, to be opened at ui.perfetto.dev: {GIVE}": head.startswith(b'{"traceEvents"'),
    }
    return next((complaint for complaint, applies in found.items() if applies), "")


def _kind(data: bytes) -> Kind:
    try:
        return msgspec.json.decode(data, type=Kind)
    except UNDECODABLE:
        return Kind()  # the decoder says what is wrong
