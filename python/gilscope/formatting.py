"""Durations, sizes and counts as text."""

from __future__ import annotations


def milliseconds(seconds: float) -> str:
    """Return a duration in milliseconds, to three digits or to 10 us: ``0.81``, ``33.0``, ``1973``."""
    return _three_digits(seconds * 1000)


def duration(seconds: float) -> str:
    """Return a duration to three digits in the unit that suits it: ``34.0 us``, ``1.20 ms``, ``2.50 s``; none is ``0 s``."""
    if seconds == 0:
        return "0 s"
    for unit, name in ((1e-9, "ns"), (1e-6, "us"), (1e-3, "ms")):
        if seconds < 999.5 * unit:
            return f"{_three_digits(seconds / unit)} {name}"
    return f"{_three_digits(seconds)} s"


def size(count: int) -> str:
    """Return a number of bytes to three digits in the unit that suits it: ``512 B``, ``4.00 MB``."""
    value = float(count)
    for name in ("B", "kB", "MB"):
        if value < 1000:
            return f"{count} B" if name == "B" else f"{_three_digits(value)} {name}"
        value /= 1000
    return f"{_three_digits(value)} GB"


def roughly(number: float) -> int:
    """Return a count to two digits: 117612 is 120000."""
    return int(float(f"{number:.2g}"))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 call``, ``3 calls``, ``120 000 calls``."""
    digits = f"{number:,}".replace(",", " ") if number >= 10_000 else str(number)
    return f"{digits} {noun}" if number == 1 else f"{digits} {noun}s"


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"
