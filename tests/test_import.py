"""Importing gilscope is cheap, and possible where the native core is not."""

from __future__ import annotations

import gilscope
import pytest

from tests.support import child

HEAVY = ["asyncio", "altair", "click", "distributed", "msgspec", "rich", "uvloop", "gilscope._core"]
IN_A_SUBINTERPRETER = """
    import sys
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


def test_importing_gilscope_loads_nothing_heavy() -> None:
    script = """
        import gilscope, sys
        print(*sorted(set(sys.argv[1:]) & sys.modules.keys()))
    """
    assert child.output(script, *HEAVY) == [""]


def test_the_python_kernels_load_nothing_heavy_either() -> None:
    script = """
        import gilscope, sys
        counted = gilscope.countdown_python(3), gilscope.countdown_cooperative.__name__
        print(*counted, *sorted(set(sys.argv[1:]) & sys.modules.keys()))
    """
    assert child.output(script, *HEAVY) == ["3 countdown_cooperative"]


def test_dir_lists_what_can_be_had() -> None:
    assert set(gilscope.__all__) <= set(dir(gilscope))
    assert all(getattr(gilscope, name) is getattr(gilscope, name) for name in dir(gilscope))


def test_all_is_what_a_star_brings() -> None:
    brought: dict[str, object] = {}
    exec("from gilscope import *", brought)  # noqa: S102
    assert set(gilscope.__all__) <= brought.keys()


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
