"""The line that is written natively while a stall lasts is the one that Python would name for the same stack."""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path

import gilscope
import pytest
from gilscope._core import _Testing
from gilscope.records.stall import Frame
from gilscope.watch import origin
from gilscope.watch.log_settings import line_rules
from gilscope.watch.stack import ASYNCIO, HANDLE, LOOP, RUNNERS, SELECTORS, callback_frames, culprit
from hypothesis import event, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.thorough

STANDARD = sysconfig.get_path("stdlib")
OURS = str(Path(gilscope.__file__).parent)

names = st.sampled_from(
    ["app", "site-packages", "dist-packages", "python313.zip", "lib.zip", "a.egg", "yaml", "__init__.py", "x.pex", "é"]
)
folders = st.sampled_from(
    ["", "/", "/srv", OURS, f"{OURS}-plugin", STANDARD, f"{STANDARD}-mine", sysconfig.get_path("purelib")]
)
files = st.one_of(
    st.tuples(folders, st.lists(names, max_size=4), st.sampled_from(["a.py", "b", ".c", "d.e.py", "yaml", "f."])).map(
        lambda parts: "/".join(filter(None, [parts[0].rstrip("/"), *parts[1], parts[2]]))
    ),
    st.sampled_from(
        [
            "<string>",
            "<stdin>",
            "<stdin",
            "<console>",
            "<doctest a.b[0]>",
            "<ipython-input-3-5b1d>",
            "<python-input-0>",
            "<ipykernel-input-1>",
            "<frozen importlib._bootstrap>",
            "<attrs generated init app.Row>",
            json.decoder.__file__,
        ]
    ),
)
functions = st.sampled_from(["f", "C.g", "__create_fn__.<locals>.__init__", "h.<locals>.<lambda>"])
frames = st.one_of(
    st.builds(Frame, files, st.integers(1, 99), functions),
    st.sampled_from(
        [
            Frame("", 7, "frames left out"),
            Frame(HANDLE, 80, "Handle._run"),
            Frame(LOOP, 1922, "BaseEventLoop._run_once"),
            Frame(LOOP, 600, "BaseEventLoop.run_forever"),
            Frame(RUNNERS, 118, "Runner.run"),
            Frame(SELECTORS, 468, "EpollSelector.select"),
            Frame(f"{ASYNCIO}/tasks.py", 1, "sleep"),
        ]
    ),
)
stacks = st.lists(frames, max_size=6, unique=True).map(tuple)


def native(
    stack: tuple[Frame, ...], above: int | None = None, packages: tuple[str, ...] = ()
) -> tuple[tuple[Frame, ...], Frame | None, Frame | None]:
    """Return the callback's frames, its line, and the line of the whole stack."""
    plain = [(frame.file, frame.line, frame.function) for frame in stack]
    begin, end, own, any_ = _Testing.choose_line(line_rules(), list(packages), plain, above)
    return stack[begin:end], None if own is None else stack[own], None if any_ is None else stack[any_]


@settings(max_examples=600)
@given(stacks, st.none() | st.integers(0, 6))
def test_it_is_the_same_for_any_stack(stack: tuple[Frame, ...], above: int | None) -> None:
    frames = callback_frames(stack, above)
    event(f"{len(frames)} frames of a callback")
    expected = (frames, culprit(frames), culprit(stack))
    assert native(stack, above, tuple(origin.program_packages())) == expected


@settings(max_examples=150)
@given(stacks)
def test_it_is_the_same_in_a_program_given_as_a_string(stack: tuple[Frame, ...]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["-c"])
        assert native(stack)[2] == culprit(stack)


@settings(max_examples=150)
@given(stacks)
def test_it_is_the_same_in_a_program_that_is_an_installed_package(stack: tuple[Frame, ...]) -> None:
    packages = frozenset({"yaml", "/srv/lib.zip"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(origin, "program_packages", lambda: packages)
        assert native(stack, packages=tuple(packages))[2] == culprit(stack)
