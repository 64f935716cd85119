"""What to write instead of a statement that cannot be checked."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

from gilscope.naming import quoted

USUAL_ALIASES = {"np": "numpy", "pd": "pandas", "plt": "matplotlib.pyplot", "pl": "polars", "tf": "tensorflow"}


def does_nothing(statement: str) -> str:
    """Return why running ``statement`` calls nothing, and what to write instead; ``""`` if it may do something."""
    source = statement.strip()
    if source.endswith(".py") and Path(source).is_file():
        return f"{source} is a file, not a statement: to run and watch it, write gilscope watch {source}"
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return ""  # the compiler says what is wrong
    shown, said = quoted(source), ""
    match body:
        case [ast.Expr(ast.Constant(str(text)))]:
            said = f"{shown} is a text, and does nothing: write the statement without the inner quotes: {text}"
        case [ast.Expr(ast.Lambda(body=called))]:
            said = f"{shown} only makes a function: to run what is in it, write {quoted(ast.unparse(called))}"
        case [ast.Expr(value)] if _is_a_name(value):
            said = f"{shown} only names something, and does nothing: to call it, write {quoted(f'{source}()')}"
        case [*_, ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name)] if all(map(_defines, body)):
            said = f"{shown} only defines {name}: put the definition into -s, and write {quoted(f'{name}()')}"
    return said


def _is_a_name(value: ast.expr) -> bool:
    while isinstance(value, ast.Attribute):
        value = value.value
    return isinstance(value, ast.Name)


def _defines(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom)


def what_to_define(error: BaseException, *files: str) -> str:
    """Return what to write after a ``NameError`` in a line of ``files``; ``""`` after any other error.

    A name that is missing somewhere else is a fault of the program's own.
    """
    if not isinstance(error, NameError) or isinstance(error, UnboundLocalError):
        return ""
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    name = getattr(error, "name", None)
    if frames is None or frames.tb_frame.f_code.co_filename not in files or not isinstance(name, str):
        return ""
    module = USUAL_ALIASES.get(name, name)
    if not _exists(module.partition(".")[0]):
        return f'\nDefine {name} in the setup: -s "{name} = ...", or -s "from your_module import {name}".'
    return f'\nImport it in the setup: -s "import {module}{f" as {name}" * (module != name)}".'


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
