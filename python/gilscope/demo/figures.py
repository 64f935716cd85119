"""What the records of a demo show together: one case compared with another, and with its kernel alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilscope.trial.work import undisturbed_work, work, work_without_baseline

if TYPE_CHECKING:
    from gilscope.records.result import Measure, Result, Trial
    from gilscope.trial.work import Work


@dataclass(frozen=True)
class DemoFigures:
    """A result of the kind ``demo``, by case."""

    result: Result

    def measure(self, case: str) -> Measure | None:
        """Return what ``case`` measured, or ``None`` if it did not finish."""
        trials = (self.result.idle, *self.result.trials)
        return next((trial.measure for trial in trials if trial.case == case), None)

    def work(self, case: str) -> Work | None:
        """Return the work done a second, relative to one task of the same kernel alone."""
        trial = self._trial(case)
        if trial is None or trial.measure is None:
            return None
        if (figure := work(trial)) is not None:
            return figure
        alone = self.result.alone.get(case.rpartition("/")[2])
        return None if alone is None else work_without_baseline(trial.measure, alone)

    def _trial(self, case: str) -> Trial | None:
        return next((trial for trial in self.result.trials if trial.case == case), None)

    def sure_work(self, case: str) -> float | None:
        """Return the work of ``case``, or ``None`` if it cannot be relied on."""
        figure = self.work(case)
        return None if figure is None or figure.doubt else figure.value

    def work_with_cores(self, case: str) -> float | None:
        """Return the work of ``case``, or what it would have done with a whole core whenever it wanted one.

        ``None`` if neither can be relied on. Python in threads takes turns at the GIL so often that only the first can be.
        """
        sure = self.sure_work(case)
        trial = self._trial(case)
        if sure is not None or trial is None or case == "thread/python":
            return sure
        return undisturbed_work(trial)

    def cores(self, case: str) -> float | None:
        """Return how many cores the case kept busy, on average."""
        measure = self.measure(case)
        return None if measure is None or measure.cpu is None else measure.cpu / measure.elapsed
