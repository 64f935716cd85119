"""What to write instead of a statement that cannot be checked."""

from __future__ import annotations

import ast
from importlib.util import find_spec

USUAL_ALIASES = {"np": "numpy", "pd": "pandas", "plt": "matplotlib.pyplot", "pl": "polars", "tf": "tensorflow"}


def only_a_name(statement: str) -> str:
    """Return the name if ``statement`` is nothing else, such as ``json.dumps``: it calls nothing. Otherwise return ``""``."""
    try:
        body = ast.parse(statement.strip()).body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return ""  # the compiler says what is wrong
    if len(body) != 1 or not isinstance(body[0], ast.Expr):
        return ""
    node = body[0].value
    while isinstance(node, ast.Attribute):
        node = node.value
    return ast.unparse(body[0].value) if isinstance(node, ast.Name) else ""


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
