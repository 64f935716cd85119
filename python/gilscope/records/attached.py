"""A process that was sampled from outside. A frozen record."""

from __future__ import annotations

from gilscope.records.base import AtLeastOne, Record


class Attached(Record, frozen=True, kw_only=True):
    """The process that a report of ``gilscope attach`` is about."""

    pid: AtLeastOne
    python: str
    """The version of its CPython: ``3.13.0``."""
