"""What a parent asks a child process to run: read by ``gilscope.trial.run`` and ``gilscope.comparison.travel``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gilscope.isolated.payload import Kernel, Packed, Work
from gilscope.records.result import Plan  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gilscope.records.comparison import Passage
    from gilscope.records.result import Measure
    from gilscope.trial.strategies import Strategy


class Named(msgspec.Struct, frozen=True, tag="named"):
    """A strategy of the table."""

    name: str

    def strategy(self) -> Strategy:
        from gilscope.trial.strategies import STRATEGIES

        return STRATEGIES[self.name]


class Dask(msgspec.Struct, frozen=True, tag="dask"):
    """A scheduler that runs at ``address``; ``upload`` is a module that its workers need, if any."""

    address: str
    upload: str = ""
    name: str = "dask"

    def strategy(self) -> Strategy:
        from gilscope.trial.dask import at

        return at(self.address, upload=self.upload)


class Made(msgspec.Struct, frozen=True, tag="made"):
    """Somebody's executor: ``factory`` brings what returns one when it is called with the number of workers."""

    name: str
    factory: Packed

    def strategy(self) -> Strategy:
        from gilscope.trial.strategies import from_executor

        return from_executor(self.factory.load()[0])


Place = Named | Dask | Made


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One trial, or one probe: without a place it is an idle loop."""

    plan: Plan
    place: Place | None = None
    work: Work | None = None
    considerate: bool = False

    async def trial(self) -> Measure:
        from gilscope.trial.run import idle, trial

        if self.place is None or self.work is None:
            return await idle(self.plan)
        function, args = self.work.load()
        steps = self.work.count if isinstance(self.work, Kernel) else 1
        strategy = self.place.strategy()
        return await trial(strategy, function, args, self.plan, steps=steps, considerate=self.considerate)

    async def probe(self) -> Passage:
        from gilscope.comparison.travel import probe, stays

        assert self.place is not None  # noqa: S101
        assert self.work is not None  # noqa: S101
        function: Callable[..., Any]
        try:
            function, args = self.work.load()
        except Exception as error:  # noqa: BLE001 - importing runs anybody's code
            return stays(self.place.name, f"a new process cannot load it: {type(error).__name__}: {error}")
        return await probe(self.place.name, self.place.strategy(), function, args)


def answer(asked: str, answered: str, run: Callable[[Request], Coroutine[Any, Any, Measure | Passage]]) -> None:
    """Run the request in the file ``asked``, and write what it brings to ``answered``: all that such a child does."""
    from gilscope.isolated.supervise import die_with_parent

    die_with_parent()
    request = msgspec.json.decode(Path(asked).read_bytes(), type=Request)
    Path(answered).write_bytes(msgspec.json.encode(asyncio.run(run(request))))
