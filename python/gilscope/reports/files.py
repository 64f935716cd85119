"""Write a result or the report of a watch to a file: the suffix chooses the format."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from gilscope.records.base import Record
    from gilscope.records.result import Result
    from gilscope.records.watch_report import WatchReport
    from gilscope.watch.bins import Hold, LoopLag

Shown = TypeVar("Shown")


class Format(NamedTuple, Generic[Shown]):
    """How to encode a result, the modules of other packages that this needs, and what is imported for it."""

    encode: Callable[[Shown], bytes]
    needs: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()


PLOT = ("altair", "vl_convert")
"""The modules that the extra ``plot`` installs."""


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


def _watch_perfetto(pid: int, holds: Iterable[Hold], lags: Iterable[LoopLag], report: WatchReport) -> bytes:
    from gilscope.reports.watch_trace import trace

    return trace(pid=pid, holds=holds, stalls=report.snapshot.worst, lags=lags)


def _folded(report: WatchReport) -> bytes:
    from gilscope.reports.folded import folded

    return folded(report).encode()


def _speedscope(report: WatchReport) -> bytes:
    from gilscope.reports.speedscope import speedscope

    return speedscope(report)


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
    chart(result).save(drawn, format="png", scale_factor=2)  # for print, and for screens with two dots per pixel
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
"""By suffix. The longest suffix that the name of a file ends with is used."""
WATCH_FORMATS: dict[str, Format[WatchReport]] = {
    ".json": Format(_json, imports=("gilscope.records.codec",)),
    ".html": Format(_watch_html, PLOT, imports=(*PLOT, "gilscope.reports.watch_page")),
    ".collapsed": Format(_folded, imports=("gilscope.reports.folded",)),
    ".speedscope.json": Format(_speedscope, imports=("gilscope.reports.speedscope",)),
}
"""The formats that can be made from the report of a watch, after the watch."""
OF_TIME = (".speedscope.json", ".collapsed")
"""The formats that need the time tree of a report, which files of older versions do not have."""


def live_formats(
    *, pid: int = 0, holds: Iterable[Hold] = (), lags: Iterable[LoopLag] = ()
) -> dict[str, Format[WatchReport]]:
    """Return the formats for a watch of the process ``pid`` whose single holds and lags still exist: also a trace.

    ``holds`` and ``lags`` are iterated more than once.
    """
    encode = partial(_watch_perfetto, pid, holds, lags)
    return {".perfetto.json": Format(encode, imports=("gilscope.reports.watch_trace",)), **WATCH_FORMATS}


def dump_formats(
    *, pid: int = 0, holds: Iterable[Hold] = (), lags: Iterable[LoopLag] = ()
) -> dict[str, Format[WatchReport]]:
    """Return the formats for a dump, which has no time tree."""
    formats = live_formats(pid=pid, holds=holds, lags=lags)
    return {suffix: form for suffix, form in formats.items() if suffix not in OF_TIME}


def format_of(file: Path, formats: Mapping[str, Format[Shown]]) -> Format[Shown]:
    """Return the one of ``formats`` that belongs to the suffix of ``file``.

    Raises ``ValueError`` if the suffix is unknown or the format needs an extra that is not installed.
    """
    name = file.name.lower()
    suffix = max((suffix for suffix in formats if name.endswith(suffix) and name != suffix), key=len, default=None)
    if suffix is None:
        raise ValueError(f"cannot write {file}: its suffix must be one of {', '.join(formats)}")
    found = formats[suffix]
    if lacking := [module for module in found.needs if find_spec(module) is None]:
        raise ValueError(f"{file} needs {' and '.join(lacking)}: pip install 'gilscope[plot]'")
    return found


def prepare(file: Path, formats: Mapping[str, Format[Shown]]) -> None:
    """Import what the format of ``file`` needs. It is the larger part of the work, and may be impossible later."""
    for module in format_of(file, formats).imports:
        import_module(module)


def write(result: Shown, file: Path, formats: Mapping[str, Format[Shown]]) -> None:
    """Write ``result`` to ``file``. Raises ``OSError``, and ``ValueError`` like :func:`format_of`."""
    file.write_bytes(format_of(file, formats).encode(result))
