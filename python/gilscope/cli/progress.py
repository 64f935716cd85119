"""The progress of a long run on stderr: a bar on a terminal, one line for each case elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self, TypeVar

from rich import progress

from gilscope.cli import reader_may_go
from gilscope.formatting import milliseconds
from gilscope.reports.console import PlainConsole

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilscope.records.result import Trial

    T = TypeVar("T")
    Waiting = Callable[[float], None]

REDRAWS_PER_SECOND = 4
"""Each redraw takes a millisecond or two from the cores that the case is measured on."""
STEP_OVERHEAD_SECONDS = 0.8
"""What a step takes besides the time for which its case runs, to estimate the time left."""


class Progress:
    """Show the progress of ``steps`` steps, each of about ``seconds``."""

    def __init__(self, steps: int, seconds: float) -> None:
        self._console = PlainConsole(stderr=True)
        self._expected = seconds + STEP_OVERHEAD_SECONDS
        self._bar = progress.Progress(
            progress.TextColumn("{task.description:20}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            console=self._console,
            refresh_per_second=REDRAWS_PER_SECOND,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=steps)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def step(self, name: str, work: Callable[[Waiting], T]) -> T:
        """Run ``work`` as the step ``name``. ``work`` gets a function to call with the seconds that have passed."""
        done = self._bar.tasks[0].completed
        self._bar.update(self._task, description=name)
        return work(lambda passed: self._bar.update(self._task, completed=done + min(0.95, passed / self._expected)))

    def trial(self, name: str, work: Callable[[Waiting], Trial]) -> Trial:
        """Run ``work`` as the step ``name``, and count the step as done."""
        done = self._bar.tasks[0].completed
        trial = self.step(name, work)
        self._bar.update(self._task, completed=int(done) + 1)
        if not self._console.is_terminal:
            with reader_may_go(sys.stderr):
                self._console.print(_line(trial), highlight=False, soft_wrap=True)
        return trial


def _line(trial: Trial) -> str:
    if trial.measure is None:
        return f"{trial.case}: {trial.status}: {trial.reason}"
    lag = trial.measure.lag
    worst = "" if lag.max is None else f", up to {milliseconds(lag.max)} ms late"
    return f"{trial.case}: {lag.came} of {lag.due} ticks came{worst}"
