"""What the records of a demo show together: one case compared with another, and with its kernel alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gilscope.records.result import Measure, Result


@dataclass(frozen=True)
class DemoFigures:
    """A result of the kind ``demo``, by case."""

    result: Result

    def measure(self, case: str) -> Measure | None:
        """Return what ``case`` measured, or ``None`` if it did not finish."""
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
