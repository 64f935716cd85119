"""What all HTML pages of gilscope share: each is one file that needs nothing else.

Vega and the libraries around it are part of the page. Its content security policy forbids it to fetch anything.
"""

from __future__ import annotations

import json
import re
import string
from functools import cache
from html import escape
from importlib.metadata import version
from importlib.resources import files
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from gilscope.reports.style import CONFIG

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gilscope.records.machine import Machine


def shell(*, title: str, body: str, panels: dict[str, Any] | None) -> str:
    """Return the page. If there are ``panels``, ``body`` has an element ``#chart`` and a script with a function ``fit``."""
    drawing = ""
    if panels is not None:
        drawing = filled("drawing.html", spec=_script(panels | {"config": CONFIG}), library=_library())
    return filled("page.html", title=escape(title), body=body, drawing=drawing)


def filled(name: str, **parts: str) -> str:
    """Return the template ``name`` with its ``parts``, which are HTML."""
    text = files("gilscope.reports").joinpath(name).read_text(encoding="utf-8")
    return string.Template(text).substitute(parts)


def table(columns: Sequence[str], rows: Iterable[str], units: Sequence[str] = ()) -> str:
    """Return a table of ``rows``, which are HTML. A unit stands under the head of its column."""
    head = "".join(
        f"<th>{escape(name)}{f'<small>{escape(unit)}</small>' if unit else ''}</th>"
        for name, unit in zip_longest(columns, units, fillvalue="")
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def row(columns: Sequence[str], figures: Sequence[str], units: Sequence[str] = ()) -> str:
    """Return a row of a table. In a narrow window each figure appears with the name and the unit of its column."""
    (_, head, _), *rest = zip_longest(columns, figures, units, fillvalue="")
    cells = (
        f"<td data-name='{escape(name)}' data-unit='{escape(unit)}'>{escape(figure)}</td>"
        for name, figure, unit in rest
    )
    return f"<tr><td>{escape(head)}</td>{''.join(cells)}</tr>"


def small(words: str) -> str:
    """Return a paragraph in small letters, or nothing if there are no words."""
    return f"<p class='small'>{prose(words)}</p>" if words else ""


def prose(words: str) -> str:
    """Return ``words`` as HTML. What they have in backticks is code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(words))


def about(machine: Machine, created: str, by: str) -> str:
    """Return a list of where and when this was measured, and by which version of gilscope."""
    facts = {
        "Python": f"{machine.implementation} {machine.python}, {'GIL on' if machine.gil else 'no GIL'}",
        "System": machine.system,
        "Processor": f"{machine.processor}, {machine.cores:g} cores for this process",
        "Measured": f"{created} by gilscope {by}",
        "Drawn": f"by gilscope {version('gilscope')}, Altair {version('altair')}",
    }
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(what)}</dd>' for name, what in facts.items())}</dl>"


def _script(value: object) -> str:
    """Return ``value`` as JSON that cannot end the script element around it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")


@cache
def _library() -> str:
    """Return Vega, Vega-Lite and Vega-Embed from vl-convert's copy, in the version that Altair writes for."""
    import altair as alt
    import vl_convert

    major_minor = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    library: str = vl_convert.javascript_bundle(vl_version=major_minor)  # type: ignore[call-arg]  # its stub asks for more
    return library.replace("</script", "<\\/script").replace("<!--", "<\\!--")
