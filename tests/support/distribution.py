"""How pytest-xdist deals out the tests to its workers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    import pytest
    from xdist.remote import Producer


TOGETHER = (
    (re.compile(r"tests/timing/"), "timing"),
    (re.compile(r"tests/reports/test_(chart|in_browser|layout|watch_page)|tests/test_recorded"), "Altair"),
    (re.compile(r"tests/trial/test_dask|tests/services/test_dask"), "dask"),
)
"""Files that one worker runs, because loading what they draw or compute with takes seconds."""


class TimingLast(LoadFileScheduling):
    """Gives each worker a file at a time, in the order of collection, and all files that are :data:`TOGETHER` to one worker."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return next((name for files, name in TOGETHER if files.match(nodeid)), super()._split_scope(nodeid))
