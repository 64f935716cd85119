"""What the pictures share: colours, letters, and how a tooltip is declared.

People who are colour-blind can tell the colours apart, and no mark relies on its colour alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

if TYPE_CHECKING:
    from gilscope.records.loop_time import LoopDoing
    from gilscope.records.stall import Cause

FONT_PIXELS = 11
GREY = "#555555"
TICK_COLOUR = "#004d7a"
LATE_COLOUR = "#e69f00"
"""Much lighter than the colour of ticks, so that the two also differ in a grey print."""
CAUSE_COLOURS: dict[Cause, str] = {
    "blocked, computing": "#d55e00",
    "blocked, waiting": "#e69f00",
    "starved by a hog": "#0072b2",
    "starved by turns": "#56b4e9",
    "no CPU": "#cc79a7",
    "garbage collection": "#009e73",
    "unknown": "#888888",
}
"""The palette of Okabe and Ito."""
DOING_COLOURS: dict[LoopDoing, str] = {
    "computing": CAUSE_COLOURS["blocked, computing"],
    "waiting for the GIL": CAUSE_COLOURS["starved by turns"],
    "blocked": CAUSE_COLOURS["blocked, waiting"],
    "no CPU": CAUSE_COLOURS["no CPU"],
    "unknown": "#999999",
}
"""Black letters can be read on each."""
CONFIG: dict[str, Any] = {
    "view": {"stroke": None},
    "axis": {
        "labelFontSize": FONT_PIXELS,
        "titleFontSize": FONT_PIXELS,
        "titleFontWeight": "normal",
        "gridColor": "#e4e4e4",
    },
    "text": {"fontSize": FONT_PIXELS},
    "title": {"fontSize": 12, "offset": 4},
    "font": "sans-serif",
}


def tips(**titles: str) -> list[alt.Tooltip]:
    """Return a tooltip that shows each field of a mark's data under the title given for it."""
    return [alt.Tooltip(f"{field}:N", title=title) for field, title in titles.items()]
