"""What every record of gilscope is, and the machine that it was taken on."""

from __future__ import annotations

import platform
import sys
from typing import Annotated, Any

import msgspec

from gilscope.cores import cores

SCHEMA = 1
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


class Machine(Record, frozen=True, kw_only=True):
    """What it ran on."""

    python: str
    implementation: str
    gil: bool
    """Whether this Python has a GIL and it is on."""
    system: str
    processor: str
    cores: Positive
    """Processors that the process could use: its affinity mask, within its cgroup's quota."""


def must_be_as_long(**lists: list[Any]) -> None:
    """Raise ``ValueError`` unless the lists of those names are as long as each other."""
    if len({len(values) for values in lists.values()}) > 1:
        told = ", ".join(f"`{name}` {len(values)}" for name, values in lists.items())
        raise ValueError(f"its lists must be as long as each other, and have: {told}")


def machine() -> Machine:
    """Describe this Python and this machine."""
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    return Machine(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        gil=has_gil,
        system=f"{platform.system()} {platform.release()}",
        processor=_processor(),
        cores=cores(),
    )


def _processor() -> str:
    """Return the processor's name: Linux keeps it where ``platform.processor`` does not look."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:  # noqa: PTH123 - a stream of lines
            for line in lines:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
