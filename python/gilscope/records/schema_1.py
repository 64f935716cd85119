"""Reads what gilscope wrote with schema 1: the same records under older names."""

from __future__ import annotations

from typing import Any

FIELDS: dict[str, str] = {}
"""New name of each field of schema 1 that has been renamed since. A name means the same in every record."""
WORDS: dict[tuple[str, str], str] = {}
"""New word of each pair of a field (by its new name) and a word of schema 1 that has been renamed since."""


def upgraded(value: Any) -> Any:
    """Return ``value``, JSON of schema 1 as Python has it, under the names of the current schema."""
    if isinstance(value, list):
        return [upgraded(item) for item in value]
    if not isinstance(value, dict):
        return value
    renamed: dict[str, Any] = {FIELDS.get(str(name), str(name)): upgraded(item) for name, item in value.items()}
    return {name: WORDS.get((name, item), item) if isinstance(item, str) else item for name, item in renamed.items()}
