"""All tests of this folder need real time: each runs while no other test does."""

from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)  # before the folder above puts them last
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("timing")
