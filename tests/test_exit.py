"""A process that ends with native work under way ends with its own status and says nothing."""

import pytest

from tests.support import endings

PROCESSES = 24
"""The minimum for each function whose work is under way, shared by its endings; ``benches/exit.py`` runs 200 for each
ending."""


@pytest.mark.thorough
@pytest.mark.parametrize("ending", endings.ENDINGS)
def test_each_of_many_processes_ends_well(ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # a process that measures coverage ends differently
    processes = endings.share(ending, of=PROCESSES)
    assert endings.tally(ending, processes=processes) == {endings.WELL: processes}
