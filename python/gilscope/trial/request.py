"""What a parent asks a child process to run: a strategy by its description, and one trial on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gilscope.isolated.payload import PickledCall, Work  # noqa: TC001 - msgspec reads the annotations
from gilscope.records.result import Plan  # noqa: TC001 - msgspec reads the annotations
from gilscope.trial.baseline_process import BaselineTask  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from gilscope.trial.strategies import Strategy


class NamedStrategy(msgspec.Struct, frozen=True, tag="named"):
    """A strategy of the table ``STRATEGIES``."""

    name: str

    def load(self) -> Strategy:
        """Return the strategy."""
        from gilscope.trial.strategies import STRATEGIES

        return STRATEGIES[self.name]


class DaskStrategy(msgspec.Struct, frozen=True, tag="dask"):
    """The workers of the dask scheduler at ``address``; ``upload`` is the path of a module that they need, if any."""

    address: str
    upload: str = ""
    name: str = "dask"

    def load(self) -> Strategy:
        """Return the strategy."""
        from gilscope.trial.dask import strategy_at

        return strategy_at(self.address, upload=self.upload)


class ExecutorStrategy(msgspec.Struct, frozen=True, tag="executor"):
    """A user's executor: ``factory`` loads a callable that takes the number of workers and returns the executor."""

    name: str
    factory: PickledCall

    def load(self) -> Strategy:
        """Return the strategy."""
        from gilscope.trial.strategies import from_executor

        return from_executor(self.factory.load()[0])


StrategySpec = NamedStrategy | DaskStrategy | ExecutorStrategy


class TrialRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One trial; without a strategy and work, the event loop stays idle."""

    plan: Plan
    strategy: StrategySpec | None = None
    work: Work | None = None
    yield_after_call: bool = False
    """Whether the loop gets a turn after every call."""
    baseline: BaselineTask | None = None
    """Whose baseline is measured within the trial."""
