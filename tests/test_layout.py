"""The modules of gilscope import each other in one direction only, and no file is longer than 300 lines."""

from __future__ import annotations

import ast
import functools
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "python" / "gilscope"
LEVELS = [
    {"_core", "countdown", "durations", "formatting", "naming"},
    {"records"},
    {"isolated"},
    {"trial", "checks"},
    {"demo", "comparison", "watch"},
    {"attach"},
    {"reports", "prometheus", "stalls"},
    {"top"},
    {"cli", "pytest_plugin"},
    {"__main__"},
]
"""The folders and modules of gilscope. Each may import itself and whatever is listed on the lines above its own."""
FOR_RECORDS = {"records", "formatting", "naming"}
MAX_FILES_IN_THE_PACKAGES_FOLDER = 10
MAX_LINES_OF_A_FILE = 300


def test_no_module_imports_itself_by_way_of_others() -> None:
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_imports_run_one_way() -> None:
    wrong = [
        f"{importer} imports {imported}"
        for importer, targets in imports().items()
        for imported in sorted(targets)
        if importer != "gilscope" and room(imported) not in allowed(room(importer))
    ]
    assert not wrong, "\n".join(wrong)


def test_every_folder_and_module_has_a_level() -> None:
    known = [name for level in LEVELS for name in level]
    assert sorted(known) == sorted({room(module) for module in modules()} - {""} | {"_core"})


def test_the_packages_folder_is_a_table_of_contents() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MAX_FILES_IN_THE_PACKAGES_FOLDER


def test_no_file_is_longer_than_a_few_pages() -> None:
    files = [*(ROOT / "python").rglob("*.py"), *(ROOT / "src").rglob("*.rs")]
    lines = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in files}
    assert {file: count for file, count in lines.items() if count > MAX_LINES_OF_A_FILE} == {}


@pytest.mark.parametrize(
    ("source", "imported"),
    [
        ("import gilscope.naming", {"gilscope.naming"}),
        ("import gilscope.reports.table as table", {"gilscope.reports.table"}),
        ("from gilscope import _core", {"gilscope._core"}),
        ("from gilscope.reports import table", {"gilscope.reports.table"}),
        ("from gilscope.reports.table import rows", {"gilscope.reports.table"}),
        ("def late():\n    import gilscope.naming", {"gilscope.naming"}),
        ("if TYPE_CHECKING:\n    import gilscope.naming", {"gilscope.naming"}),
        ("import_module('gilscope.naming')", {"gilscope.naming"}),
        ("import gilscope", set()),
        ("import os.path", set()),
    ],
)
def test_an_import_is_seen_wherever_it_is_written(source: str, imported: set[str]) -> None:
    assert imported_by(source) == imported


def room(module: str) -> str:
    """Return the folder of a module, or its name if it lies directly in the package; the package itself has none."""
    return module.partition(".")[2].partition(".")[0]


def allowed(importer: str) -> set[str]:
    """Return what the modules of a folder may import."""
    if importer == "records":
        return FOR_RECORDS
    own = next(number for number, level in enumerate(LEVELS) if importer in level)
    return {importer}.union(*LEVELS[:own])


@functools.cache
def modules() -> dict[str, Path]:
    """Return the files of gilscope by the names of their modules."""
    names = {
        ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): file
        for file in PACKAGE.rglob("*.py")
    }
    return {**names, "gilscope._core": PACKAGE / "_core.pyi"}


@functools.cache
def imports() -> dict[str, set[str]]:
    """Return the modules of gilscope that each imports: anywhere in it, and for annotations too.

    ``gilscope`` itself loads what it lists when somebody asks for the name, and so it imports nothing here.
    """
    found = {module: imported_by(file.read_text()) - {module} for module, file in modules().items()}
    return {**found, "gilscope": set(), "gilscope._core": set()}


def imported_by(source: str) -> set[str]:
    """Return the modules of gilscope that a source text imports, be it in a function, or by a constant name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                found.update(name.name for name in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                submodules = {f"{module}.{name.name}" for name in node.names}
                found.update(submodules & modules().keys() or {module})
            case ast.ImportFrom():
                raise AssertionError("a relative import: name the module in full")
            case ast.Call(func=ast.Name("import_module"), args=[ast.Constant(str(module))]):
                found.add(module)
    return found & modules().keys() - {"gilscope"}
