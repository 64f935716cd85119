"""Several verdicts as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from gilscope.formatting import duration
from gilscope.naming import quoted, shortened
from gilscope.records.failed_check import FailedCheck
from gilscope.records.verdict import sentences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, ConsoleOptions, RenderResult

    from gilscope.records.verdict import Verdict

STYLES = {"failed": "bold red", "hogs": "red", "yields": "yellow", "releases": "green"}
FIGURES = ("released", "yielded", "hogged", "longest hold", "a call", "cpu")
MIN_STATEMENT_CHARACTERS = 16
LEGEND = (
    "released, yielded, hogged: the share of the time in which another thread that asks for the GIL gets it at once, gets it "
    "within the switch interval, or waits for the end of a hold of more than 1 ms. a call: how long it takes. cpu: the share "
    "of a call in which it computes."
)


class VerdictTable:
    """One line for each statement, and below the table why one failed, or is undecided and what would settle it.

    Statements are shortened to the width that the figures leave.
    """

    def __init__(self, checked: Sequence[Verdict | FailedCheck]) -> None:
        self._checked = checked

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        heads = ("verdict", *FIGURES)
        rows = [_figures(verdict) for verdict in self._checked]
        taken = sum(max(map(len, column)) + 1 for column in zip(heads, *rows, strict=True))
        room = max(MIN_STATEMENT_CHARACTERS, options.max_width - taken)
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
        for head in ("statement", *heads):
            table.add_column(head, justify="right" if head in FIGURES else "left", no_wrap=True)
        for verdict, row in zip(self._checked, rows, strict=True):
            statement = Text(shortened(verdict.name, room))
            table.add_row(statement, *row, style=STYLES.get(row[0], ""))
        yield table
        yield Text(LEGEND, style="dim")
        for verdict in self._checked:
            if isinstance(verdict, FailedCheck):
                yield Text(f"{quoted(verdict.name)}: failed: {verdict.reason}", style="red")
            elif verdict.kind == "undecided":
                yield Text(f"{quoted(verdict.name)}: {' '.join(sentences(verdict, longer='--time 5'))}", style="yellow")


def _figures(verdict: Verdict | FailedCheck) -> tuple[str, ...]:
    if isinstance(verdict, FailedCheck):
        return ("failed", *[""] * len(FIGURES))
    return (
        verdict.kind,
        *(_share(share) for share in (verdict.released, verdict.yielded, verdict.hogged)),
        "" if verdict.longest_hold is None else duration(verdict.longest_hold),
        "no end" if verdict.endless else duration(verdict.duration),
        _share(verdict.cpu),
    )


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"
