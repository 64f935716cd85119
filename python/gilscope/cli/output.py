"""``-o FILE``: checked before anything is measured, written at the end."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gilscope.cli import BadInput
from gilscope.records import codec
from gilscope.reports.files import FORMATS, format_of, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gilscope.reports.files import Format


def checked(file: Path, formats: Mapping[str, Format[Any]]) -> None:
    """Raise :class:`BadInput` if the suffix of ``file`` is not in ``formats``, or if ``file`` cannot be written."""
    try:
        format_of(file, formats)
    except ValueError as error:
        raise BadInput(str(error)) from None
    must_be_writable(file)


def _checked(context: click.Context, option: click.Parameter, files: tuple[Path, ...]) -> tuple[Path, ...]:  # noqa: ARG001
    for file in files:
        checked(file, FORMATS)
    return files


def output(command: Any) -> Any:
    """Give ``command`` the option ``-o``, whose files are checked before the command runs."""
    return click.option(
        "-o",
        "outputs",
        multiple=True,
        metavar="FILE",
        type=click.Path(path_type=Path),
        callback=_checked,
        help="Write the result to FILE as well, in the format of its suffix: .html, .svg, .png, .pdf, .json or "
        ".perfetto.json. Repeatable.",
    )(command)


def must_be_writable(file: Path) -> None:
    """Raise :class:`BadInput` if ``file`` cannot be written. Opens it, because only that is certain, without a change."""
    try:
        if file.exists() and not file.is_file():
            if file.is_dir() or not os.access(file, os.W_OK):
                raise BadInput(f"cannot write {file}: not a regular file")
            return
        made = not file.exists()
        file.open("ab").close()
        if made:
            file.unlink()
    except OSError as error:
        said = f"cannot write {file}: {error.strerror}; choose a file in an existing, writable folder"
        raise BadInput(said) from None


def save(
    result: Any, files: Iterable[Path], json: str | None = None, formats: Mapping[str, Format[Any]] = FORMATS
) -> None:
    """Write ``result`` to each of ``files``, and as JSON to ``json``; if one fails, the others are written all the same."""
    failed = []
    writes: list[tuple[Path, Callable[[Any, Path], None]]] = []
    writes += ((file, partial(write, formats=formats)) for file in files)
    if json is not None and json != "-":
        writes.append((Path(json), codec.write))
    for file, into in writes:
        try:
            into(result, file)
        except OSError as error:
            failed.append(f"cannot write {file}: {error.strerror}")
    if failed:
        raise click.ClickException("; ".join(failed))
