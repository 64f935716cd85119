"""What every record of gilscope is, and the machine that it was taken on."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

SCHEMA = 2
"""A reader takes every schema up to its own and refuses newer ones."""


Amount = Annotated[float, msgspec.Meta(ge=0)]
"""A duration, a rate or a share."""
Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A frozen record whose JSON must have the fields that it names, and no others.

    What a field's type allows is checked where JSON is read, ``__post_init__`` wherever a record is made.
    """


def must_be_as_long(**lists: list[Any]) -> None:
    """Raise ``ValueError`` unless the lists of those names are as long as each other."""
    if len({len(values) for values in lists.values()}) > 1:
        told = ", ".join(f"`{name}` {len(values)}" for name, values in lists.items())
        raise ValueError(f"its lists must be as long as each other, and have: {told}")
