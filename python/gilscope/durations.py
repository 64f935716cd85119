"""The one parser of durations, for every option, argument, marker and fixture: ``0.05``, ``"50ms"``, ``"2s"``."""

from __future__ import annotations

import re
from math import inf, isfinite
from numbers import Real

SECONDS_OF_UNIT = {"us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
DURATION = re.compile(rf"\s*((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)\s*({'|'.join(SECONDS_OF_UNIT)})?\s*", re.ASCII)
MAX_THRESHOLD_WITHOUT_UNIT = 5
"""A lag, a hold or a period of more seconds than this was probably meant in milliseconds."""
MAX_RUN_WITHOUT_UNIT = 3600
"""A run or a time limit of more seconds than this was probably meant in milliseconds."""


def parse_threshold(value: object, *, name: str = "", least: float = 0.0, unit_required: bool = False) -> float:
    """Return the seconds of a lag, a hold or a period: something that is usually counted in milliseconds.

    As :func:`parse_duration`, but a number without a unit may be at most :data:`MAX_THRESHOLD_WITHOUT_UNIT`: ``stall=50``
    is refused, ``stall="50s"`` is not.
    """
    return _parsed(value, name, least, unit_required, MAX_THRESHOLD_WITHOUT_UNIT)


def parse_duration(value: object, *, name: str = "", least: float = 0.0, unit_required: bool = False) -> float:
    """Return the seconds of ``"50ms"``, ``"0.05 s"``, ``"5 us"`` or ``"2min"``; a number without a unit is in seconds.

    ``name`` is what the message of an error begins with. ``least`` is the shortest duration allowed.

    Raises ``TypeError`` unless ``value`` is a number or a string. Raises ``ValueError`` for a string that is not a duration,
    for a duration that is not finite or shorter than ``least``, for a number without a unit if ``unit_required``, and for
    a number without a unit that is more than :data:`MAX_RUN_WITHOUT_UNIT`.
    """
    return _parsed(value, name, least, unit_required, MAX_RUN_WITHOUT_UNIT)


def _parsed(value: object, name: str, least: float, unit_required: bool, most_without_unit: float) -> float:
    head = f"{name}: " if name else ""
    write = "'50ms', '0.05 s' or '200us'" if unit_required else "0.05 (seconds), '50ms' or '2s'"
    wrong = f"{head}{value!r} is not a duration: write {write}"
    if isinstance(value, bool) or not isinstance(value, (Real, str)):
        raise TypeError(wrong)
    seconds, unit = _number_and_unit(value)
    if not isfinite(seconds) or seconds < 0 or (unit_required and unit is None):
        raise ValueError(wrong)
    if unit is None and seconds > most_without_unit:
        raise ValueError(
            f"{head}{value!r} without a unit is {seconds:g} seconds: write '{seconds:g}ms', or '{seconds:g}s' if you mean it"
        )
    if seconds < least:
        raise ValueError(f"{head}{value!r} is too short: the shortest is {shown(least)}")
    return seconds


def _number_and_unit(value: Real | str) -> tuple[float, str | None]:
    """Return the seconds that ``value`` stands for, and its unit. What is not a duration is infinitely long."""
    if isinstance(value, str):
        match = DURATION.fullmatch(value)
        return (float(match[1]) * SECONDS_OF_UNIT[match[4] or "s"], match[4]) if match else (inf, None)
    try:
        return float(value), None
    except OverflowError:
        return inf, None


def shown(seconds: float) -> str:
    """Return a duration as short as it can be written: ``0.5us``, ``50ms``, ``0.1ms``, ``2s``. The parser reads it back."""
    if 0 < seconds < 0.0001:
        return f"{seconds * 1e6:g}us"
    return f"{seconds * 1000:g}ms" if 0 < seconds < 0.5 else f"{seconds:g}s"
