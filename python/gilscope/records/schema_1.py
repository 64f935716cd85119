"""Reads what gilscope wrote with schema 1: the same records under older names."""

from __future__ import annotations

from typing import Any

from gilscope.records.base import SCHEMA

FIELDS: dict[str, str] = {
    "baseline": "background",
    "interval": "switch_interval",
    "knocks": "samples",
    "settle": "explanation",
    "stretches": "long_holds",
}
"""New name of each field of schema 1 that has been renamed since. A name means the same in every record."""
WORDS: dict[tuple[str, str], str] = {("kind", "too short"): "undecided"}
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
    renamed = {name: WORDS.get((name, item), item) if isinstance(item, str) else item for name, item in fields.items()}
    return renamed | {"schema": SCHEMA} if renamed.get("format") == "gilscope" else renamed
