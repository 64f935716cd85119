"""Which arguments of `gilscope watch` are its own, and which are the program's."""

from __future__ import annotations

from itertools import chain

import click
import pytest
from gilscope.cli.watch import command
from hypothesis import given, settings
from hypothesis import strategies as st

OPTIONS = [
    ["-oout.json"],
    ["-o", "out.json"],
    ["--output=out.json"],
    ["--output", "-m"],
    ["-om"],
    ["--live"],
    ["--stall=1"],
    ["--stall", "1s"],
]
ARGUMENTS = [
    "-m",
    "-mx",
    "--",
    "-",
    "",
    "--live",
    "-o",
    "-ox",
    "--output=y",
    "--help",
    "-n",
    "=",
    "--bogus",
    "a b",
    "é",
]

ours = st.lists(st.sampled_from(OPTIONS), max_size=4).map(lambda options: list(chain.from_iterable(options)))
theirs = st.lists(st.sampled_from(ARGUMENTS) | st.text(max_size=5), max_size=5)
names = st.sampled_from(["app.py", "m", "json.tool", "-"])
dash_m = st.sampled_from([lambda name: ["-m", name], lambda name: [f"-m{name}"]])


def parsed(arguments: list[str]) -> tuple[str | None, tuple[str, ...], int, bool]:
    """Return the module, the command line, the number of files and whether `--live` was given."""
    given = command.make_context("watch", arguments).params
    return given["module"], given["command_line"], len(given["outputs"]), given["live"]


def own(options: list[str]) -> tuple[int, bool]:
    return sum(option.startswith(("-o", "--output")) for option in options), "--live" in options


@settings(max_examples=50)
@given(ours, names, theirs)
def test_everything_after_the_script_is_the_programs(options: list[str], script: str, arguments: list[str]) -> None:
    assert parsed([*options, script, *arguments]) == (None, (script, *arguments), *own(options))
    assert parsed([*options, "--", script, *arguments]) == (None, (script, *arguments), *own(options))


@settings(max_examples=50)
@given(ours, dash_m, names, theirs)
def test_everything_after_the_module_is_the_programs(
    options: list[str], written: object, module: str, arguments: list[str]
) -> None:
    assert callable(written)
    assert parsed([*options, *written(module), *arguments]) == (module, tuple(arguments), *own(options))


@pytest.mark.parametrize("arguments", [["-m"], ["-o"], ["--bogus", "app.py"], ["-n", "app.py"], ["--live", "--stall"]])
def test_what_is_not_ours_before_the_program_is_refused(arguments: list[str]) -> None:
    with pytest.raises(click.UsageError):
        parsed(arguments)
