"""``gilscope.check``: what it refuses, how it calls, and what it leaves behind."""

import functools
import gc
import signal
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import gilscope
import pytest
from gilscope.checks.assertions import meets
from gilscope.checks.run import LOWERED_SWITCH_INTERVAL_SECONDS, Checking
from gilscope.records.machine import Machine, machine


async def coroutine() -> None: ...


async def asynchronous_generator() -> AsyncIterator[int]:
    yield 1


def generator() -> Iterator[int]:
    yield 1


class CoroutineObject:
    async def __call__(self) -> None: ...


@pytest.mark.parametrize(
    "what", [coroutine, generator, asynchronous_generator, CoroutineObject(), functools.partial(coroutine)]
)
def test_a_callable_that_runs_nothing_when_called_is_refused(what: object) -> None:
    with pytest.raises(TypeError, match="calling it runs nothing"):
        gilscope.check(what)  # type: ignore[arg-type]


def test_an_object_that_is_not_callable_is_refused() -> None:
    with pytest.raises(TypeError, match="'int' objects are not callable"):
        gilscope.check(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_an_invalid_time_is_refused_before_anything_is_called(seconds: float) -> None:
    called: list[int] = []
    with pytest.raises(ValueError, match=r"^time: .* is not a duration"):
        gilscope.check(called.append, 1, time=seconds)
    assert called == []


@pytest.mark.parametrize("seconds", [b"1", None])
def test_a_time_that_is_neither_a_number_nor_a_string_is_named_in_the_error(seconds: object) -> None:
    with pytest.raises(TypeError, match=f"^time: {seconds!r} is not a duration"):
        gilscope.check(len, [], time=seconds)  # type: ignore[arg-type]


def test_a_call_that_returns_a_coroutine_is_an_error() -> None:
    with pytest.raises(TypeError, match="returned a coroutine"):
        gilscope.check(lambda: coroutine(), time=0.0)  # noqa: PLW0108 - not a coroutine function


def test_a_short_call_that_returns_a_generator_is_an_error_and_one_that_has_worked_before_is_not() -> None:
    with pytest.raises(TypeError, match=r"returned a generator, which nothing ran: check lambda: list\(...\)"):
        gilscope.check(lambda: generator(), time=0.0)  # noqa: PLW0108 - not a generator function

    def work() -> Iterator[int]:
        time.sleep(0.002)
        return generator()

    assert gilscope.check(work, time=0.0).calls >= 1


def test_a_result_does_not_outlive_its_call() -> None:
    alive: weakref.WeakSet[threading.Event] = weakref.WeakSet()
    most = 0

    def make() -> threading.Event:
        nonlocal most
        alive.add(event := threading.Event())
        most = max(most, len(alive))
        return event

    gilscope.check(make, time=0.02)
    assert most == 1


def test_exceptions_of_the_callable_propagate_and_the_switch_interval_is_restored() -> None:
    usual, error = sys.getswitchinterval(), ZeroDivisionError("mine")

    def fail() -> None:
        raise error

    with pytest.raises(ZeroDivisionError) as raised:
        gilscope.check(fail)
    assert raised.value is error
    assert sys.getswitchinterval() == pytest.approx(usual)
    assert not [callback for callback in gc.callbacks if type(callback).__name__ == "GcListener"]


def test_arguments_are_passed_on() -> None:
    seen: list[tuple[object, object]] = []

    def note(one: object, *, other: object) -> None:
        seen.append((one, other))

    gilscope.check(note, 1, other=2, time=0.0)
    assert set(seen) == {(1, 2)}


def test_the_callable_runs_on_this_thread_at_least_once() -> None:
    on: list[int] = []
    found = gilscope.check(lambda: on.append(threading.get_ident()), time=0.0)
    assert set(on) == {threading.get_ident()}
    assert found.calls == len(on) >= 1


def test_without_a_gil_only_the_figures_that_have_a_meaning_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gil = machine()
    without = Machine(**{field: getattr(with_gil, field) for field in with_gil.__struct_fields__} | {"gil": False})
    monkeypatch.setattr("gilscope.checks.run.machine", lambda: without)
    found = gilscope.check(time.sleep, 0.01, time=0.05)
    assert (found.kind, found.hogged, found.calls >= 1) == ("no GIL", None, True)
    assert found.duration > 0
    assert str(found).startswith("no GIL:")
    assert meets(found, "releases")
    assert not meets(found, "hogs")


def test_no_thread_is_left_behind() -> None:
    before = set(Path("/proc/self/task").glob("*"))
    gilscope.check(time.sleep, 0.001, time=0.0)
    assert set(Path("/proc/self/task").glob("*")) <= before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert sys.getswitchinterval() > LOWERED_SWITCH_INTERVAL_SECONDS


def test_there_is_no_verdict_before_the_first_call() -> None:
    assert Checking(lambda: None, "nothing").verdict_so_far() is None
