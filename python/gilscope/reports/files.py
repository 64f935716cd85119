"""Files of a result, or of a watch: the suffix chooses what is written."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gilscope.records.base import Record
    from gilscope.records.result import Result
    from gilscope.records.watch_report import WatchReport

Shown = TypeVar("Shown")


class Format(NamedTuple, Generic[Shown]):
    """How a result is written to a file, and which modules that needs beyond gilscope's own."""

    encode: Callable[[Shown], bytes]
    needs: tuple[str, ...] = ()


PLOT = ("altair", "vl_convert")
"""What the extra ``plot`` brings."""


def _json(result: Record) -> bytes:
    from gilscope.records.codec import encode

    return encode(result)


def _perfetto(result: Result) -> bytes:
    from gilscope.reports.perfetto import trace

    return trace(result).encode()


def _html(result: Result) -> bytes:
    from gilscope.reports.page import page

    return page(result).encode()


def _watch_html(report: WatchReport) -> bytes:
    from gilscope.reports.watch_page import page

    return page(report).encode()


def _svg(result: Result) -> bytes:
    import io

    from gilscope.reports.chart import chart

    drawn = io.StringIO()
    chart(result).save(drawn, format="svg")
    return drawn.getvalue().encode()


def _png(result: Result) -> bytes:
    import io

    from gilscope.reports.chart import chart

    drawn = io.BytesIO()
    chart(result).save(drawn, format="png", scale_factor=2)  # for print, and for screens of two dots a pixel
    return drawn.getvalue()


def _pdf(result: Result) -> bytes:
    import io

    from gilscope.reports.chart import chart

    drawn = io.BytesIO()
    chart(result).save(drawn, format="pdf")
    return drawn.getvalue()


FORMATS: dict[str, Format[Result]] = {
    ".perfetto.json": Format(_perfetto),
    ".json": Format(_json),
    ".html": Format(_html, PLOT),
    ".svg": Format(_svg, PLOT),
    ".png": Format(_png, PLOT),
    ".pdf": Format(_pdf, PLOT),
}
"""By suffix; the first that a name ends with is taken."""
WATCH_FORMATS: dict[str, Format[WatchReport]] = {".json": Format(_json), ".html": Format(_watch_html, PLOT)}
"""Those of a watch that is over."""


def format_of(file: Path, formats: Mapping[str, Format[Shown]]) -> Format[Shown]:
    """Return the one of ``formats`` that ``file``'s suffix names.

    Raises ``ValueError`` for a suffix that names none, or one whose extra is not installed; the text says what to do.
    """
    name = file.name.lower()
    found = next((form for suffix, form in formats.items() if name.endswith(suffix) and name != suffix), None)
    if found is None:
        raise ValueError(f"cannot write {file}: its suffix is none of {', '.join(formats)}")
    if lacking := [module for module in found.needs if find_spec(module) is None]:
        raise ValueError(f"{file} needs {' and '.join(lacking)}: pip install 'gilscope[plot]'")
    return found


def write(result: Shown, file: Path, formats: Mapping[str, Format[Shown]]) -> None:
    """Write ``result`` to ``file``. Raises ``OSError``, and ``ValueError`` as :func:`format_of` does."""
    file.write_bytes(format_of(file, formats).encode(result))
