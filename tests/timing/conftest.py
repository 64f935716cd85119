"""All tests of this folder need real time: each runs while no other test does."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)  # before the folder above puts them last
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("timing")


@pytest.fixture(autouse=True, scope="session")
def _no_garbage_of_other_tests() -> Iterator[None]:
    """Keep what other tests have loaded out of the garbage collections: a full one of all that would take 0.1 s."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def no_coverage_of_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let child processes take their usual time: measuring coverage delays their start and their end."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture(autouse=True)
def no_gc_callbacks_in_python() -> Iterator[None]:
    """Take away the callback that hypothesis leaves in ``gc.callbacks``.

    While it runs, another thread can get the GIL: native code that allocates, such as ``json.loads``, then yields.
    """
    others = gc.callbacks[:]
    gc.callbacks.clear()
    yield
    gc.callbacks[:0] = others
