"""What every HTML page of gilscope is: one file that needs nothing else.

Vega and what draws with it stand in the page, whose content security policy forbids it to fetch anything.
"""

from __future__ import annotations

import json
import string
from functools import cache
from html import escape
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from gilscope.reports import chart

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gilscope.records.machine import Machine


def shell(*, title: str, body: str, panels: dict[str, Any] | None) -> str:
    """Return a page with ``body``, which is HTML and has, where there are ``panels``, a ``#chart`` and how these ``fit``."""
    drawing = ""
    if panels is not None:
        drawing = filled("drawing.html", spec=_script(panels | {"config": chart.CONFIG}), library=_library())
    return filled("page.html", title=escape(title), body=body, drawing=drawing)


def filled(name: str, **parts: str) -> str:
    """Return the template ``name`` with its ``parts``, which are HTML."""
    text = files("gilscope.reports").joinpath(name).read_text(encoding="utf-8")
    return string.Template(text).substitute(parts)


def table(columns: Sequence[str], rows: Iterable[str]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def about(machine: Machine, created: str, by: str) -> str:
    """Return where and when it was measured, and by which version of gilscope, as a list."""
    facts = {
        "Python": f"{machine.implementation} {machine.python}, {'GIL on' if machine.gil else 'no GIL'}",
        "System": machine.system,
        "Processor": f"{machine.processor}, {machine.cores:g} cores for this process",
        "Measured": f"{created} by gilscope {by}",
        "Drawn": f"by gilscope {version('gilscope')}, Altair {version('altair')}",
    }
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(what)}</dd>' for name, what in facts.items())}</dl>"


def _script(value: object) -> str:
    """Return ``value`` as JSON that cannot end the script element that it stands in."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")


@cache
def _library() -> str:
    """Return Vega, Vega-Lite and Vega-Embed, of the version that Altair writes for, from vl-convert's own copy."""
    import altair as alt
    import vl_convert

    major_minor = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    library: str = vl_convert.javascript_bundle(vl_version=major_minor)  # type: ignore[call-arg]  # its stub asks for more
    return library.replace("</script", "<\\/script").replace("<!--", "<\\!--")
