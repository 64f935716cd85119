"""Importing gilscope is cheap, and works in subinterpreters, where the native core does not load."""

from __future__ import annotations

import ast
import inspect
from importlib.util import find_spec

import gilscope
import pytest

from tests.support import child

PUBLIC = [
    "Verdict",
    "Watch",
    "assert_loop_responsive",
    "assert_releases",
    "assert_yields",
    "check",
    "compare",
    "countdown_bridge",
    "countdown_cooperative",
    "countdown_held",
    "countdown_python",
    "countdown_released",
    "countdown_tokio",
]
HEAVY = ["asyncio", "altair", "click", "distributed", "msgspec", "rich", "uvloop", "gilscope._core"]
IN_A_SUBINTERPRETER = """
    import os, sys
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)  # its tracer does not load in a subinterpreter either
    kind, code = sys.argv[1:]
    if sys.version_info >= (3, 13):
        import _interpreters
        interpreter = _interpreters.create(kind)
        assert _interpreters.exec(interpreter, code) is None
    else:
        import _xxsubinterpreters as _interpreters
        interpreter = _interpreters.create(isolated=kind == "isolated")
        _interpreters.run_string(interpreter, code)
    _interpreters.destroy(interpreter)
"""
every_kind_of_subinterpreter = pytest.mark.parametrize("kind", ["isolated", "legacy"])


def loaded_after(statement: str) -> list[str]:
    """Return which modules are loaded by ``statement``: those of gilscope, and those that are heavy."""
    script = f"""
        import sys
        {statement}
        print(*(name for name in sorted(sys.modules) if name in sys.argv or name.partition(".")[0] == "gilscope"))
    """
    return child.output(script, *HEAVY)[-1].split()


def test_importing_gilscope_loads_none_of_its_modules_and_nothing_heavy() -> None:
    assert [name for name in HEAVY if find_spec(name) is None] == []  # a module that is not installed proves nothing
    assert loaded_after("import gilscope") == ["gilscope"]


def test_the_python_kernels_load_nothing_heavy_either() -> None:
    loaded = loaded_after("import gilscope; gilscope.countdown_python(3); gilscope.countdown_cooperative")
    assert loaded == ["gilscope", "gilscope.countdown"]


def test_the_public_names_are_these_and_each_can_be_loaded() -> None:
    assert gilscope.__all__ == PUBLIC
    assert {name: getattr(gilscope, name).__name__ for name in PUBLIC} == {name: name for name in PUBLIC}


def test_a_public_name_is_listed_and_starred_before_anything_used_it() -> None:
    script = """
        import gilscope
        print(*dir(gilscope))
        from gilscope import *
        print(*globals())
    """
    listed, starred = child.output(script)
    assert set(listed.split()) >= set(PUBLIC)
    assert set(starred.split()) >= set(PUBLIC)


def test_type_checkers_see_each_public_name_where_it_is_loaded_from() -> None:
    branches = [node for node in ast.parse(inspect.getsource(gilscope)).body if isinstance(node, ast.If)]
    imports = [node for node in branches[0].body if isinstance(node, ast.ImportFrom)]
    assert {alias.name: node.module for node in imports for alias in node.names} == {
        **gilscope._HOME,
        **dict.fromkeys(gilscope.SUBMODULES, "gilscope"),
    }


def test_the_documented_modules_are_reachable_after_importing_the_package() -> None:
    loaded = loaded_after("import gilscope; gilscope.stalls.Stall")
    assert loaded[:1] == ["gilscope"]
    assert set(HEAVY) & set(loaded) == {"msgspec"}
    assert child.output("import gilscope; print(gilscope.prometheus.WatchCollector.__name__)") == ["WatchCollector"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'gilscope' has no attribute 'countdown_quickly'"):
        _ = gilscope.countdown_quickly


@every_kind_of_subinterpreter
def test_the_python_kernel_runs_in_a_subinterpreter(kind: str) -> None:
    code = """if True:
        import gilscope
        print(gilscope.countdown_python(3), "countdown_held" in dir(gilscope), flush=True)
    """
    assert child.output(IN_A_SUBINTERPRETER, kind, code) == ["3 True"]


def test_the_cooperative_kernel_runs_in_a_subinterpreter() -> None:
    # A legacy one: CPython 3.12.1 aborts at exit after `import asyncio` in an isolated one.
    code = """if True:
        import asyncio, gilscope
        print(asyncio.run(gilscope.countdown_cooperative(4)), flush=True)
    """
    assert child.output(IN_A_SUBINTERPRETER, "legacy", code) == ["4"]


@every_kind_of_subinterpreter
def test_the_core_is_refused_in_a_subinterpreter_with_a_reason(kind: str) -> None:
    code = """if True:
        import gilscope
        for load in (lambda: gilscope.countdown_held, lambda: __import__("gilscope._core")) * 2:
            try:
                load()
            except ImportError as error:
                print("gilscope._core" in str(error), "subinterpreter" in str(error), flush=True)
    """
    assert child.output(IN_A_SUBINTERPRETER, kind, code) == ["True True"] * 4


def test_the_main_interpreter_still_has_its_core_after_a_subinterpreter_was_refused() -> None:
    script = (
        IN_A_SUBINTERPRETER
        + """
    import gilscope
    print(gilscope.countdown_held(3))
    """
    )
    code = """if True:
        try:
            import gilscope._core
        except ImportError:
            print("refused", flush=True)
    """
    assert child.output(script, "legacy", code) == ["refused", "3"]
