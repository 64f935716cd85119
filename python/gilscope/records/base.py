"""What all records have in common: the schema, the types of their fields, and the class."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

SCHEMA = 2
"""The number of the JSON format. A reader accepts this schema and older ones."""


Amount = Annotated[float, msgspec.Meta(ge=0)]
"""A duration, a rate or a share."""
Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A frozen record. Its JSON must have exactly the fields of the class.

    The types of the fields are checked when JSON is read; ``__post_init__`` checks whenever a record is made.
    """


def must_be_as_long(**lists: list[Any]) -> None:
    """Raise ``ValueError`` unless these lists are of equal length."""
    if len({len(values) for values in lists.values()}) > 1:
        lengths = ", ".join(f"`{name}` {len(values)}" for name, values in lists.items())
        raise ValueError(f"its lists must be of equal length, but have: {lengths}")
