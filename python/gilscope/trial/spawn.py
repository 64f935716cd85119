"""The processes of a pool: spawned, because forking a process that has threads can deadlock."""

from __future__ import annotations

from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from gilscope.isolated.search_path import WorkerName


class Worker(SpawnProcess):
    """A spawned process that imports what its pool needs before it searches the user's folders for modules."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = WorkerName(self.name)


class WorkerContext(SpawnContext):
    """The context whose processes are workers of that kind."""

    Process = Worker
