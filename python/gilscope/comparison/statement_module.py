"""A statement as a function, in a module that the parent and all workers import under one name.

The module is the setup's source with a call of :func:`define` at its end. What the setup defines or imports (functions,
classes, modules) is created once in each worker, when the worker imports the module. What the setup assigns to names that
the statement uses becomes the arguments of the function, and is sent with every call, as a program would send it.

Imports only the standard library, because subinterpreters import this module too.
"""

from __future__ import annotations

import ast
import hashlib
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

FUNCTION, ARGUMENTS = "__gilscope_statement__", "__gilscope_arguments__"
DEFINITIONS = (types.ModuleType, type, types.FunctionType, types.BuiltinFunctionType)
"""Values of these types are not sent: each worker has its own, from running the setup."""


def write(folder: Path, setup: str, statement: str) -> str:
    """Write the module into ``folder`` and return its name."""
    digest = hashlib.sha256(f"{setup}\0{statement}".encode()).hexdigest()[:12]
    name = f"gilscope_statement_{digest}"
    ending = (
        f"\nfrom gilscope.comparison.statement_module import define as __define\n__define(globals(), {statement!r})\n"
    )
    (folder / f"{name}.py").write_text(setup + ending, encoding="utf-8")
    return name


def define(namespace: dict[str, Any], statement: str) -> None:
    """Put ``statement`` as a function into a module's ``namespace``, and the list of its arguments' names beside it."""
    tree = ast.parse(statement, "<statement>")
    arguments = [name for name in _read(tree) if name in namespace and not isinstance(namespace[name], DEFINITIONS)]
    body = [*tree.body[:-1], *(_returned(last) for last in tree.body[-1:])] or [ast.Pass()]
    function = ast.parse(f"def {FUNCTION}({', '.join(arguments)}): pass")
    function.body[0].body = body  # type: ignore[attr-defined]
    exec(compile(ast.fix_missing_locations(function), "<statement>", "exec", dont_inherit=True), namespace)  # noqa: S102 - the user's
    namespace[ARGUMENTS] = arguments


def _read(tree: ast.AST) -> list[str]:
    """Return the names that ``tree`` reads, in their order; ``n -= 1`` reads ``n``."""
    names: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
            names[node.id] = None
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            names[node.target.id] = None
    return list(names)


def _returned(last: ast.stmt) -> ast.stmt:
    return ast.copy_location(ast.Return(last.value), last) if isinstance(last, ast.Expr) else last
