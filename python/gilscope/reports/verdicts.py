"""Several verdicts as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from gilscope.verdict import duration

if TYPE_CHECKING:
    from gilscope.verdict import Verdict

STYLES = {"hogs": "red", "yields": "yellow", "releases": "green"}


def table(verdicts: list[Verdict]) -> Table:
    """Return one row a verdict."""
    rows = Table(box=None, pad_edge=False)
    rows.add_column("statement", overflow="fold")
    rows.add_column("verdict", no_wrap=True)
    for name in ("released", "yielded", "hogged", "longest hold", "a call", "cpu"):
        rows.add_column(name, justify="right", no_wrap=True)
    for verdict in verdicts:
        rows.add_row(
            escape(verdict.name),
            verdict.kind,
            _share(verdict.released),
            _share(verdict.yielded),
            _share(verdict.hogged),
            "" if verdict.longest_hold is None else duration(verdict.longest_hold),
            "did not end" if verdict.endless else duration(verdict.duration),
            _share(verdict.cpu),
            style=STYLES.get(verdict.kind, ""),
        )
    return rows


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"
