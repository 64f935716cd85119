"""Reads what gilscope wrote with schema 1: the same records under older names."""

from __future__ import annotations

from typing import Any

from gilscope.records.base import SCHEMA

FIELDS: dict[str, str] = {
    "arguments": "argument_bytes",
    "baseline": "background",
    "carried": "overhead",
    "computing": "overhead_cpu",
    "hand_over": "empty",
    "interval": "switch_interval",
    "knocks": "samples",
    "packing": "pickling",
    "others": "others_share",
    "passages": "round_trips",
    "ran_free": "ran_without_gil",
    "result": "result_bytes",
    "rivals": "contenders",
    "settle": "explanation",
    "spare": "idle_share",
    "stays": "in_process_reason",
    "stretches": "long_holds",
    "unpacking": "unpickling",
    "witness_waited": "prober_waited",
}
"""New name of each field of schema 1 that has been renamed since. A name means the same in every record."""
WORDS: dict[tuple[str, str], str] = {
    ("gil_unreadable", "it was asked not to"): "declined",
    ("gil_unreadable", "the GIL's place is known for CPython 3.11 to 3.15 only"): "version",
    ("gil_unreadable", "this build of Python has no GIL"): "free-threaded",
    ("gil_unreadable", "this Python does not export _PyRuntime"): "symbol",
    ("gil_unreadable", "the system does not permit reading the process's memory with process_vm_readv"): "memory",
    ("gil_unreadable", "the self-check did not find the switch interval where it should be"): "interval",
    ("gil_unreadable", "the self-check did not find this thread as the GIL's holder"): "holder",
    ("gil_unreadable", "the self-check did not find this thread's ids where they should be"): "thread",
    ("kind", "too short"): "undecided",
}
"""New word of each pair of a field (by its new name) and a word of schema 1 that has been renamed since."""
DROPPED = {"stretch"}
"""Fields of schema 1 that another field makes redundant: ``stretch`` was ``longest_hold`` wherever it had a value."""


def upgraded(value: Any) -> Any:
    """Return ``value``, decoded JSON of schema 1, under the names and with the number of the current schema."""
    if isinstance(value, list):
        return [upgraded(item) for item in value]
    if not isinstance(value, dict):
        return value
    fields: dict[str, Any] = {
        FIELDS.get(str(name), str(name)): upgraded(item) for name, item in value.items() if name not in DROPPED
    }
    renamed: dict[str, Any] = {
        name: WORDS.get((name, item), item) if isinstance(item, str) else item for name, item in fields.items()
    }
    if "travels" in renamed:
        renamed["failure"] = _failure(travels=renamed.pop("travels"), unavailable=renamed.pop("unavailable", False))
    return renamed | {"schema": SCHEMA} if renamed.get("format") == "gilscope" else renamed


def _failure(*, travels: bool, unavailable: bool) -> str | None:
    """Return the failure of a round trip, whose cause schema 1 has in prose only."""
    if travels:
        return None
    return "strategy unavailable" if unavailable else "unknown"
