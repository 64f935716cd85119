"""A process that ends with native work under way ends with its own status and says nothing."""

import endings
import pytest

PROCESSES = 40
"""A fifth of what ``benches/exit.py`` runs."""


@pytest.mark.parametrize("ending", endings.ENDINGS)
def test_each_of_many_processes_ends_well(ending: str) -> None:
    assert endings.tally(ending, processes=PROCESSES) == {endings.WELL: PROCESSES}
