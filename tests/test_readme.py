import doctest
import re
from pathlib import Path

import gilscope
import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_in_the_documentation_runs(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = gilscope.compare.__kwdefaults__ or {}
    assert "seconds" in defaults
    monkeypatch.setitem(defaults, "seconds", 0.1)  # a page is run as it stands, in shorter trials than a reader's
    namespace: dict[str, object] = {"__name__": "documentation"}
    for number, block in enumerate(blocks(page, "python"), 1):
        name = f"{page.name}, block {number} of Python"
        if block.startswith(">>>"):
            runner = doctest.DocTestRunner()
            runner.run(doctest.DocTestParser().get_doctest(block, namespace, name, None, None))
            assert runner.summarize().failed == 0
        else:
            exec(compile(block, name, "exec"), namespace)  # noqa: S102 - our own page


def test_the_readmes_two_commands_are_its_first_two_blocks_of_sh() -> None:
    demo, tests = blocks(ROOT / "README.md", "sh")[:2]
    assert demo.strip().endswith("gilscope demo")
    assert tests.strip().endswith("pytest")
    assert len(demo.splitlines()) == len(tests.splitlines()) == 1
