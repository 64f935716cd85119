"""What the records of a run say together: one case against another, and against its kernel alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gilscope.results import Measure, Result


@dataclass(frozen=True)
class Figures:
    """A result's measures, by case."""

    result: Result

    def measure(self, case: str) -> Measure | None:
        """Return what ``case`` measured, or ``None`` where it did not run to its end."""
        trials = (self.result.idle, *self.result.trials)
        return next((trial.measure for trial in trials if trial.case == case), None)

    def work(self, case: str) -> float | None:
        """Return the work done a second, relative to one task of the same kernel alone in an idle process."""
        measure, kernel = self.measure(case), case.rpartition("/")[2]
        if measure is None or kernel not in self.result.alone:
            return None
        return measure.rate / self.result.alone[kernel]

    def cores(self, case: str) -> float | None:
        """Return how many cores the case kept busy."""
        measure = self.measure(case)
        return None if measure is None or measure.cpu is None else measure.cpu / measure.elapsed


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
