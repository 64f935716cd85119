"""Every function that takes a count accepts and refuses the same arguments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from gilscope import (
    countdown_bridge,
    countdown_cooperative,
    countdown_held,
    countdown_python,
    countdown_released,
    countdown_tokio,
)
from gilscope._core import _Testing
from hypothesis import given
from hypothesis import strategies as st

type_error = r"n must be an integer from 0 to 2\*\*64-1, not "
value_error = r"n must be from 0 to 2\*\*64-1"


def cooperatively(n: Any) -> int:
    return asyncio.run(countdown_cooperative(n))


def on_tokio(n: Any) -> int:
    async def awaited() -> int:
        return await countdown_tokio(n)

    return asyncio.run(awaited())


def on_the_bridge(n: Any) -> int:
    async def awaited() -> int:
        return await countdown_bridge(n)

    return asyncio.run(awaited())


@dataclass(frozen=True)
class Indexed:
    """Not an integer, but has ``__index__``."""

    value: Any

    def __index__(self) -> Any:
        return self.value


class OwnError(Exception):
    pass


class Raising:
    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    def __index__(self) -> int:
        raise self.error("of its own")


kernels = [countdown_held, countdown_released, countdown_python, on_tokio, on_the_bridge, cooperatively]
every_kernel = pytest.mark.parametrize("kernel", kernels, ids=lambda kernel: kernel.__name__)
every_function_with_a_count = pytest.mark.parametrize(
    "function", [*kernels, _Testing.add_chain], ids=lambda kernel: kernel.__name__
)
counts = st.integers(0, 5000)
Kernel = Callable[[Any], int]


@every_kernel
@given(n=counts | counts.map(Indexed) | st.booleans())
def test_any_object_with_index_is_a_count_and_that_many_steps_are_taken(kernel: Kernel, n: Any) -> None:
    assert kernel(n) == n.__index__()


@given(n=counts | counts.map(Indexed))
def test_additions_are_rounded_down_to_a_multiple_of_sixteen(n: Any) -> None:
    assert _Testing.add_chain(n) == n.__index__() // 16 * 16


@every_function_with_a_count
@given(n=st.integers(max_value=-1) | st.integers(min_value=2**64) | st.just(Indexed(-1)) | st.just(Indexed(2**64)))
def test_an_integer_out_of_range_is_a_value_error_that_names_the_argument_and_its_range(
    function: Kernel, n: Any
) -> None:
    with pytest.raises(ValueError, match=value_error):
        function(n)


@every_function_with_a_count
@given(n=st.floats() | st.none() | st.text() | st.binary() | st.lists(st.integers()) | st.just(int))
def test_an_argument_without_index_is_a_type_error_that_names_the_range_and_the_type(function: Kernel, n: Any) -> None:
    with pytest.raises(TypeError, match=type_error + type(n).__name__):
        function(n)


@every_function_with_a_count
@pytest.mark.parametrize("error", [OwnError, TypeError, ValueError, OverflowError])
def test_an_exception_of_index_is_passed_on(function: Kernel, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^of its own$"):
        function(Raising(error))


@every_function_with_a_count
def test_an_index_that_is_not_an_integer_is_a_type_error(function: Kernel) -> None:
    with pytest.raises(TypeError, match="__index__"):
        function(Indexed("3"))


@every_function_with_a_count
def test_the_count_is_the_only_argument(function: Kernel) -> None:
    with pytest.raises(TypeError):
        function()  # type: ignore[call-arg]


@pytest.mark.parametrize("every", [0, -1])
def test_cooperative_must_take_at_least_one_step_before_it_yields(every: int) -> None:
    with pytest.raises(ValueError, match="every must be at least 1"):
        asyncio.run(countdown_cooperative(10, every=every))
