"""How pytest-xdist deals out the tests to its workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    import pytest
    from xdist.remote import Producer


class TimingLast(LoadFileScheduling):
    """Gives each worker a file at a time, in the order of collection, and all of ``tests/timing`` to one worker."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        folder = "tests/timing/"
        return folder if nodeid.startswith(folder) else super()._split_scope(nodeid)
