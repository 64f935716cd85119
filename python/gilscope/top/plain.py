"""What is printed where there is no terminal to draw on: one line a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilscope.formatting import duration
from gilscope.naming import place_of
from gilscope.top.fitted import printable
from gilscope.top.loop_rows import none

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilscope.top.picture import LoopRow, Picture

MAX_THREADS = 3
MIN_SHARE = 0.005


def plain_line(picture: Picture) -> str:
    """Return the figures of the last second in one line."""
    return printable(f"{picture.elapsed:.1f} s: {'; '.join(_parts(picture))}")


def _parts(picture: Picture) -> Iterator[str]:
    # Others have ended.
    running = [row for row in picture.loops if row.busy[0] is not None or any(lag is not None for lag in row.lags[0])]
    yield from map(_loop, running)
    if not running:
        yield none(picture)
    if picture.held[0] is not None:
        holders = sorted(picture.threads, key=lambda thread: -thread.shares[0])[:MAX_THREADS]
        shares = ", ".join(f"{it.name} {it.shares[0]:.0%}" for it in holders if it.shares[0] >= MIN_SHARE)
        yield f"GIL held {picture.held[0]:.0%}" + (f" ({shares})" if shares else "")
    for late in picture.now:
        at = f" at {place_of(late.culprit)}" if late.culprit else ""
        thread = f" (thread {late.thread})" if late.thread else ""
        yield f"loop {late.loop} late by {duration(late.seconds)} now: {late.cause}{at}{thread}"


def _loop(row: LoopRow) -> str:
    busy = "" if row.busy[0] is None else f" {row.busy[0]:.0%} busy"
    quantiles = zip(("p50", "p99", "max"), row.lags[0], strict=True)
    lags = ", ".join(f"{name} {duration(value)}" for name, value in quantiles if value is not None)
    return f"loop {row.loop}{busy}" + (f", lag {lags}" if lags else "")
