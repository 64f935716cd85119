"""Python stacks are read without the GIL, and no wrong frame is shown as a fact."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
from functools import partial
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from gilscope import _core
from gilscope._core import _StackReader

from tests.gil.test_gil import READABLE
from tests.support import child
from tests.support.kinds import KINDS
from tests.support.waiting import deep_threads

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(not READABLE, reason="this Python has no GIL")

PYTHON = ctypes.PyDLL(None)
"""The C library; its calls keep the GIL."""


@pytest.fixture(scope="module")
def reader() -> _StackReader:
    return _StackReader()
