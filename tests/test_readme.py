"""README and docs are executed: their Python runs, and the command line accepts their commands."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path
from typing import get_args

import click
import gilscope
import pytest
from gilscope.cli import gilscope as command_line
from gilscope.records import stall
from gilscope.records.base import Record
from gilscope.records.verdict_parts import Reason
from gilscope.records.watch_report import WHY_UNWATCHED

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    """Return the arguments of each ``gilscope ...``: at a shell's prompt, at the beginning of a line of sh, or in prose."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = [
        line.removeprefix("$ ") for block in blocks(page, "console") for line in block.splitlines() if line[:2] == "$ "
    ]
    lines += [line for block in blocks(page, "sh") for line in block.splitlines()]
    lines += [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    return [shlex.split(line.partition(" | ")[0])[1:] for line in lines if line.startswith("gilscope ")]


def parse(arguments: list[str]) -> None:
    """Parse as the command line does; what stands for a file or a statement need not exist."""
    context = click.Context(command_line, **command_line.context_settings)
    _, rest, _ = command_line.make_parser(context).parse_args(list(arguments))
    if not rest:
        return
    command = command_line.get_command(context, rest[0])
    assert command is not None, f"there is no gilscope {rest[0]}"
    context = click.Context(command, parent=context, **command.context_settings)  # it keeps the names of --help
    options, *_ = command.make_parser(context).parse_args(rest[1:])
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name in options:
            given = options[parameter.name]
            assert all(parameter.type.convert(one, parameter, context) is not None for one in _listed(given))


def _listed(given: object) -> list[object]:
    return given if isinstance(given, list) else [given]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_in_the_documentation_runs(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = gilscope.compare.__kwdefaults__ or {}
    assert "seconds" in defaults
    monkeypatch.setitem(defaults, "seconds", 0.1)  # shorter trials than a reader's, and fewer
    monkeypatch.setitem(defaults, "strategies", ["inline", "thread"])
    namespace: dict[str, object] = {"__name__": "documentation"}
    for number, block in enumerate(blocks(page, "python"), 1):
        name = f"{page.name}, block {number} of Python"
        if block.startswith(">>>"):
            runner = doctest.DocTestRunner()
            runner.run(doctest.DocTestParser().get_doctest(block, namespace, name, None, None))
            assert runner.summarize().failed == 0
        else:
            exec(compile(block, name, "exec"), namespace)  # noqa: S102 - our own page


@pytest.mark.parametrize(
    "arguments",
    [pytest.param(line, id=f"{page.name}: gilscope {shlex.join(line)}") for page in PAGES for line in commands(page)],
)
def test_the_command_line_accepts_the_commands_in_the_documentation(arguments: list[str]) -> None:
    parse(arguments)


@pytest.mark.parametrize("arguments", [["knock"], ["check", "--expects", "releases"], ["check", "--expect", "release"]])
def test_a_command_that_the_command_line_refuses_would_be_found(arguments: list[str]) -> None:
    with pytest.raises((AssertionError, click.UsageError)):
        parse(arguments)


def test_every_command_is_in_the_readme() -> None:
    shown = {line[0] for line in commands(README)}
    assert shown >= set(command_line.list_commands(click.Context(command_line)))


def test_the_api_page_has_every_public_name() -> None:
    described = set(re.findall(r"^::: gilscope\.(\w+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE))
    assert described == {*gilscope.__all__, "prometheus"}


def test_every_page_is_in_the_sites_navigation() -> None:
    listed = re.findall(r"[\w-]+\.md", (ROOT / "mkdocs.yml").read_text())
    assert sorted(listed) == sorted(page.name for page in PAGES[1:])


def test_every_file_that_the_guide_for_contributors_names_exists() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:python|src|tests|benches|docs|\.ci)/[^`]*)`", guide)
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_readmes_two_commands_are_its_first_two_blocks_of_sh() -> None:
    demo, tests = blocks(README, "sh")[:2]
    assert demo.strip().endswith("gilscope demo")
    assert tests.strip().endswith("pytest")
    assert len(demo.splitlines()) == len(tests.splitlines()) == 1


def test_the_readme_is_short_and_begins_with_both_commands_and_what_they_show() -> None:
    lines = README.read_text().splitlines()
    assert len(lines) < 200
    first = "\n".join(lines[:60])
    assert all(text in first for text in ("$ gilscope watch", "$ gilscope check", "gilscope demo", "pytest", ".png"))


def test_every_reason_why_nothing_is_known_is_explained() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    assert [reason for reason in WHY_UNWATCHED.values() if reason not in page] == []
    undecided = {*get_args(Reason)} - {"", "brief releases", "deadlock"}
    assert [reason for reason in undecided if f"| {reason} |" not in page] == []


def test_every_record_of_a_stall_is_public_and_documented() -> None:
    records = {name for name, it in vars(stall).items() if it is not Record and isinstance(it, type(Record))}
    assert {*gilscope.stalls.__all__} == {*records, "Cause"}
    page = (ROOT / "docs" / "api.md").read_text()
    assert [name for name in records if f"::: gilscope.records.stall.{name}\n" not in page] == []
