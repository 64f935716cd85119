"""Durations, sizes and counts as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def milliseconds(seconds: float) -> str:
    """Return a duration in milliseconds without the unit, for a table: ``0.81``, ``33.0``, ``1973``."""
    return _three_digits(seconds * 1000)


def duration(seconds: float) -> str:
    """Return a duration with three digits and its unit: ``34.0 us``, ``1.20 ms``, ``2.50 s``, ``0 s``."""
    if seconds == 0:
        return "0 s"
    for unit, name in ((1e-9, "ns"), (1e-6, "us"), (1e-3, "ms")):
        if seconds < 999.5 * unit:
            return f"{_three_digits(seconds / unit)} {name}"
    return f"{_three_digits(seconds)} s"


def size(count: int) -> str:
    """Return a number of bytes with three digits and its unit: ``512 B``, ``4.00 MB``."""
    value = float(count)
    for name in ("B", "kB", "MB"):
        if value < 1000:
            return f"{count} B" if name == "B" else f"{_three_digits(value)} {name}"
        value /= 1000
    return f"{_three_digits(value)} GB"


def roughly(number: float) -> int:
    """Round a count to two digits: 117612 to 120000."""
    return int(float(f"{number:.2g}"))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 call``, ``3 calls``, ``120 000 calls``."""
    digits = f"{number:,}".replace(",", " ") if number >= 10_000 else str(number)
    return f"{digits} {noun}" if number == 1 else f"{digits} {noun}s"


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def listed(names: Sequence[str]) -> str:
    """Return names as they stand in a sentence: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
