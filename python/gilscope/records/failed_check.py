"""A statement that could not be checked: what takes the place of its verdict among those of others."""

from __future__ import annotations

from typing import Literal

from gilscope.records.base import SCHEMA, Record

Failure = Literal["raised", "process ended", "timed out"]
"""``raised``: the setup or the statement raised, or is not Python. ``timed out``: before there was anything to judge."""


class FailedCheck(Record, frozen=True, kw_only=True):
    """Why a statement has no verdict."""

    format: Literal["gilscope"] = "gilscope"
    schema: int = SCHEMA
    record: Literal["failed check"] = "failed check"
    name: str
    """The statement."""
    failure: Failure
    reason: str
    """The failure in words; the last line of the user's own traceback if there is one."""
