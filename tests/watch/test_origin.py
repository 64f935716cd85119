"""Whose code a file is, by its path and by how the program was started."""

from __future__ import annotations

import dataclasses
import json
import sys
import sysconfig
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

import gilscope
import pytest
from gilscope.watch.origin import Origin, origin_of

if TYPE_CHECKING:
    from collections.abc import Callable

STANDARD = sysconfig.get_path("stdlib")


@pytest.mark.parametrize(
    ("file", "origin"),
    [
        ("/srv/server.py", Origin.USER),
        ("server.py", Origin.USER),
        (f"{STANDARD}-of-mine/server.py", Origin.USER),
        ("/srv/site-packages-of-mine/server.py", Origin.USER),
        ("/srv/dist-packages.py", Origin.USER),
        ("<stdin>", Origin.USER),
        ("<dynamic-code>", Origin.USER),
        ("<ipython-input-3-5b1d>", Origin.USER),
        ("<python-input-0>", Origin.USER),
        ("/var/ipykernel_7/123.py", Origin.USER),
        ("caf\\udce9/server.py", Origin.USER),
        ("/venv/lib/python3.13/site-packages/yaml/loader.py", Origin.INSTALLED),
        (f"{STANDARD}/site-packages/yaml/loader.py", Origin.INSTALLED),
        ("/usr/lib/python3/dist-packages/requests.py", Origin.INSTALLED),
        ("/srv/libraries.zip/yaml/loader.py", Origin.INSTALLED),
        ("/srv/service.pyz/service/main.py", Origin.INSTALLED),
        (json.decoder.__file__, Origin.STANDARD),
        ("/usr/lib/python313.zip/json/decoder.py", Origin.STANDARD),
        ("<frozen importlib._bootstrap>", Origin.STANDARD),
        ("<string>", Origin.STANDARD),
        ("<attrs generated init app.Row>", Origin.STANDARD),
        (str(Path(gilscope.__file__).parent / "watch" / "loops.py"), Origin.GILSCOPE),
    ],
)
def test_whose_code_a_file_is(file: str, origin: Origin, started: Callable[..., None]) -> None:
    started()
    assert origin_of(file) is origin


def test_a_folder_whose_name_begins_with_gilscopes_is_not_gilscopes() -> None:
    assert origin_of(str(Path(gilscope.__file__).parent) + "-plugin/server.py") is not Origin.GILSCOPE


def test_what_a_dataclass_has_generated_is_not_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclasses.dataclass
    class Row:
        number: int

    monkeypatch.setattr(sys, "argv", ["-c"])
    code = Row.__init__.__code__
    assert origin_of(code.co_filename, code.co_qualname) is Origin.STANDARD


def test_a_program_given_as_a_string_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["-c"])
    assert origin_of("<string>", "main") is Origin.USER


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Return a function that makes this process look like a program with three installed packages."""
    folder = tmp_path / "site-packages"
    for name in ("service", "server", "library"):
        module = ModuleType(name)
        module.__file__ = str(folder / name / "__init__.py")
        monkeypatch.setitem(sys.modules, name, module)

    def start(
        *, file: str | None = None, text: str = "", module: str | None = None, argv: tuple[str, ...] = ()
    ) -> None:
        main = ModuleType("__main__")
        if file:
            path = tmp_path / file
            path.write_text(text)
            main.__file__ = str(path)
        if module:
            main.__spec__ = SimpleNamespace(name=module)  # type: ignore[assignment]
        monkeypatch.setitem(sys.modules, "__main__", main)
        monkeypatch.setattr(sys, "argv", ["", *argv])

    return start


SCRIPT = "import re\nimport sys\nfrom service.cli import main\nif __name__ == '__main__':\n    sys.exit(main())\n"


@pytest.mark.parametrize(
    ("how", "own"),
    [
        ({"file": "service", "text": SCRIPT}, {"service"}),
        ({"module": "service.__main__"}, {"service"}),
        ({"module": "service.worker", "argv": ("--verbose", "3")}, {"service"}),
        (
            {"file": "server", "text": SCRIPT.replace("service.cli", "server"), "argv": ("service.app:make",)},
            {"service"},
        ),
        ({"module": "server", "argv": ("-A", "service", "worker")}, {"service"}),
        ({"module": "server", "argv": ("--app=service.tasks:app", "worker")}, {"service"}),
        ({"module": "server", "argv": ("service:make('app.ini')",)}, {"service"}),
        ({"module": "server", "argv": ("app:app",)}, {"server"}),
        ({"file": "service", "text": SCRIPT, "argv": ("--ui", "library")}, {"service"}),
        ({"file": "service", "text": SCRIPT, "argv": ("library.py", "library=3", "-A")}, {"service"}),
        ({"file": "service", "text": SCRIPT, "argv": ("library:8000", "library://x", "library:")}, {"service"}),
        ({"file": "mine.py", "text": "import service, library\n"}, set()),
        ({}, set()),
    ],
)
def test_the_programs_own_package_is_the_one_that_was_started(
    started: Callable[..., None], how: dict[str, object], own: set[str]
) -> None:
    started(**how)
    origins = {name: origin_of(f"/venv/site-packages/{name}/views.py") for name in ("service", "server", "library")}
    assert {name for name, origin in origins.items() if origin is Origin.PROGRAM} == own
    assert Origin.USER not in origins.values()


def test_a_server_that_runs_an_application_of_the_users_is_not_the_program(
    monkeypatch: pytest.MonkeyPatch, started: Callable[..., None]
) -> None:
    started(module="server", argv=("app:app",))
    app = ModuleType("app")
    app.__file__ = "/srv/app.py"
    monkeypatch.setitem(sys.modules, "app", app)
    assert origin_of("/venv/site-packages/server/views.py") is Origin.INSTALLED
    started(module="server", argv=("check", "app"))  # a word that names a module of the user's by chance
    assert origin_of("/venv/site-packages/server/views.py") is Origin.PROGRAM


def test_all_of_the_archive_that_was_started_is_the_program(
    monkeypatch: pytest.MonkeyPatch, started: Callable[..., None]
) -> None:
    started()
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/srv/service.pyz/__main__.py", raising=False)
    assert origin_of("/srv/service.pyz/service/views.py") is Origin.PROGRAM
    assert origin_of("/srv/libraries.zip/yaml.py") is Origin.INSTALLED


def test_a_script_in_a_folder_of_libraries_is_the_program(
    monkeypatch: pytest.MonkeyPatch, started: Callable[..., None]
) -> None:
    started()
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/srv/dist-packages/script.py", raising=False)
    assert origin_of("/srv/dist-packages/script.py") is Origin.PROGRAM
    assert origin_of("/srv/dist-packages/requests.py") is Origin.INSTALLED


def test_in_an_executable_only_names_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert origin_of("a_frozen_server/views.py") is Origin.INSTALLED
    assert origin_of("json/scanner.py") is Origin.STANDARD
    assert origin_of("") is Origin.USER  # the frame that stands for those left out of a deep stack


@pytest.mark.parametrize("argv", [None, [Path("server.py"), 3, b"x", "service:app"], 7, [], ("server.py",)])
def test_whatever_the_program_makes_of_its_arguments(
    monkeypatch: pytest.MonkeyPatch, started: Callable[..., None], argv: object
) -> None:
    started()
    if argv is None:
        monkeypatch.delattr(sys, "argv")
    else:
        monkeypatch.setattr(sys, "argv", argv)
    assert origin_of("<string>") is Origin.STANDARD
    assert origin_of("/srv/server.py") is Origin.USER
    is_told = isinstance(argv, list) and "service:app" in argv
    assert origin_of("/venv/site-packages/service/views.py") is (Origin.PROGRAM if is_told else Origin.INSTALLED)


def test_whatever_the_programs_modules_say_of_themselves(
    monkeypatch: pytest.MonkeyPatch, started: Callable[..., None]
) -> None:
    class Lazy(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise ImportError(name)

    started(argv=("service:app", "lazy:app"))
    monkeypatch.setitem(sys.modules, "lazy", Lazy("lazy"))
    for file in (Path("/srv/dist-packages/script.py"), 3, ["unhashable"], "/srv/nul\0"):
        monkeypatch.setattr(sys.modules["__main__"], "__file__", file, raising=False)
        assert origin_of("/venv/site-packages/service/views.py") is Origin.PROGRAM
    assert origin_of(sysconfig.get_path("purelib")) is not Origin.INSTALLED
