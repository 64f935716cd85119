"""The function that event loops call when they run is replaced in every module that has it, whatever else is in sys.modules."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import gilscope

if TYPE_CHECKING:
    import pytest


class Library:
    """An object like the libraries of cffi: it says that it is a module, and has no attributes of its own."""

    __slots__ = ()

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return ModuleType


def test_what_only_says_that_it_is_a_module_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "a_library_of_cffi", Library())
    with gilscope.Watch() as watch:
        asyncio.run(asyncio.sleep(0.02))
    assert watch.snapshot().lags.count
