"""What every function that takes a count accepts, and what it says to the rest."""

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
    """An integer in all but name."""

    value: Any

    def __index__(self) -> Any:
        return self.value


class UnwillingError(Exception):
    pass


class Raising:
    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    def __index__(self) -> int:
        raise self.error("of its own")


kernels = [countdown_held, countdown_released, countdown_python, on_tokio, on_the_bridge, cooperatively]
every_kernel = pytest.mark.parametrize("kernel", kernels, ids=lambda kernel: kernel.__name__)
every_taker_of_a_count = pytest.mark.parametrize(
    "take", [*kernels, _Testing.add_chain], ids=lambda kernel: kernel.__name__
)
counts = st.integers(0, 5000)
Kernel = Callable[[Any], int]


@every_kernel
@given(n=counts | counts.map(Indexed) | st.booleans())
def test_a_count_is_anything_with_an_index_and_that_many_steps_are_taken(kernel: Kernel, n: Any) -> None:
    assert kernel(n) == n.__index__()


@given(n=counts | counts.map(Indexed))
def test_additions_come_in_sixteens(n: Any) -> None:
    assert _Testing.add_chain(n) == n.__index__() // 16 * 16


@every_taker_of_a_count
@given(n=st.integers(max_value=-1) | st.integers(min_value=2**64) | st.just(Indexed(-1)) | st.just(Indexed(2**64)))
def test_an_integer_out_of_range_is_a_value_error_that_names_argument_and_range(take: Kernel, n: Any) -> None:
    with pytest.raises(ValueError, match=value_error):
        take(n)


@every_taker_of_a_count
@given(n=st.floats() | st.none() | st.text() | st.binary() | st.lists(st.integers()) | st.just(int))
def test_what_is_no_integer_is_a_type_error_that_names_argument_range_and_type(take: Kernel, n: Any) -> None:
    with pytest.raises(TypeError, match=type_error + type(n).__name__):
        take(n)


@every_taker_of_a_count
@pytest.mark.parametrize("error", [UnwillingError, TypeError, ValueError, OverflowError])
def test_what_an_index_raises_is_passed_on(take: Kernel, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^of its own$"):
        take(Raising(error))


@every_taker_of_a_count
def test_an_index_that_is_no_integer_is_a_type_error(take: Kernel) -> None:
    with pytest.raises(TypeError, match="__index__"):
        take(Indexed("3"))


@every_taker_of_a_count
def test_the_count_is_the_only_argument(take: Kernel) -> None:
    with pytest.raises(TypeError):
        take()  # type: ignore[call-arg]


@pytest.mark.parametrize("every", [0, -1])
def test_a_coroutine_must_take_a_step_before_it_yields(every: int) -> None:
    with pytest.raises(ValueError, match="every must be at least 1"):
        asyncio.run(countdown_cooperative(10, every=every))
