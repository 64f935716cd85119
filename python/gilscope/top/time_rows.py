"""What costs the loops time in the view: what they do when they are busy, what stalled them, and what stalls one now."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

from gilscope.formatting import counted, duration
from gilscope.records.remedies import REMEDY_OF_CAUSE
from gilscope.top.fitted import cut, least_of, place, printable
from gilscope.top.styled import DIM, HEADING, PLACE, at_place, filled, line

if TYPE_CHECKING:
    from rich.text import Text

    from gilscope.attach.live import StallNow
    from gilscope.records.stall import Frame, Site
    from gilscope.top.picture import Picture, SpentRow

CAUSE = 19
MIN_SHARE = 0.005
MIN_SHARE_OF_PART = 0.1
"""Of the time of a site's stalls."""
INDENT = "    "


def now_lines(late: tuple[StallNow, ...], width: int) -> list[Text]:
    """Return what the latest loop does at this moment, in two lines if a line is too short; a quiet line if no loop is late."""
    if not late:
        return [line(("no loop is stalled now", DIM), width=width)]
    first = late[0]
    begin = f"STALL: loop {first.loop} late by {duration(first.seconds)}, {first.cause}"
    more = f"; {len(late) - 1} more" if len(late) > 1 else ""
    thread = f" ({printable(str(first.thread))})" if first.thread else ""
    if first.culprit is None:
        texts = [begin + thread + more]
    elif len(begin) + len(": ") + least_of(first.culprit) + len(more) <= width:
        texts = [f"{begin}: {_at(first.culprit, thread, width - len(begin) - len(': ') - len(more))}{more}"]
    else:
        texts = [begin + more, f"  at {_at(first.culprit, thread, width - len('  at '))}"]
    return [filled(line(text, width=width), width, "bold reverse red") for text in texts]


def _at(frame: Frame, thread: str, room: int) -> str:
    """Return a place, with the thread if there is room for it."""
    at = place(frame, room)
    return at + thread if len(at) + len(thread) <= room else at


def spent_lines(picture: Picture, width: int, rows: int) -> list[Text]:
    """Return a heading and what the loops spent most time on."""
    spent = [row for row in picture.spent if row.share >= MIN_SHARE]
    several = len(picture.loops) > 1
    lines = [line(("BUSY WITH", HEADING), ("  share of the last minute", DIM), width=width)]
    lines += [_spent(row, width, several_loops=several) for row in spent]
    if not spent:
        lines.append(line(("  nothing yet", DIM), width=width))
    return lines[:rows]


def _spent(row: SpentRow, width: int, *, several_loops: bool) -> Text:
    begin = f"{row.share:>5.0%}  {f'loop {row.loop} ' if several_loops else ''}{row.doing}"
    frame = row.culprit
    if row.holder or row.held_at:
        begin += f", held by {printable(row.holder or 'an unknown thread')}"
        frame = row.held_at or row.culprit
    return at_place(begin, frame, width)


def culprit_lines(picture: Picture, width: int, rows: int) -> list[Text]:
    """Return a heading and the places that stalled the loops for longest in the last minute."""
    heading = line(("STALLS", HEADING), (f"{'in the last minute':>20}", DIM), width=width)
    if not picture.culprits:
        none = f"  none over {duration(picture.threshold)}"
        return [heading, line((none, DIM), width=width)][:rows]
    columns = f"{'total':>8}{'times':>6}{'longest':>9}"
    heading = line((f"{'STALLS':<{CAUSE}}", HEADING), (f"{columns}  in the last minute", DIM), width=width)
    room = max(0, rows - 1)
    sites = picture.culprits
    shown = sites if len(sites) <= room else sites[: max(1, room - 1)]
    spare = room - len(shown) - (len(shown) < len(sites))
    below: list[list[Text]] = []
    for site in shown:
        below.append(_details(site, width)[:spare])
        spare -= len(below[-1])
    explained = set()
    for site, lines_below in zip(shown, below, strict=True):
        remedy = _remedy(site, width)
        if site.cause not in explained and len(remedy) <= spare:
            lines_below.extend(remedy)
            spare -= len(remedy)
            explained.add(site.cause)
    lines = [heading]
    for site, lines_below in zip(shown, below, strict=True):
        lines += [_culprit(site, width), *lines_below]
    if rest := sites[len(shown) :]:
        total = duration(sum(site.stalled for site in rest))
        lines.append(line((f"{counted(len(rest), 'other place')}: {total}", DIM), width=width))
    return lines[:rows]


def _culprit(site: Site, width: int) -> Text:
    begin = f"{site.cause:<{CAUSE}}{duration(site.stalled):>8}{site.stalls:>6}{duration(site.longest):>9}  "
    room = width - len(begin)
    thread = f" ({printable(site.thread)})" if site.thread else ""
    if site.culprit is None and site.callback is not None:
        return line(begin, ("loop in ", DIM), (place(site.callback, room - len("loop in ")), PLACE), width=width)
    if site.culprit is None:
        return line(begin, cut("many places" if site.many_places else f"line not seen{thread}", room), width=width)
    return line(begin, (_at(site.culprit, thread, room), PLACE), width=width)


def _details(site: Site, width: int) -> list[Text]:
    """Return what else is known of the stalls: where the loop was, and on what else they spent time."""
    details = []
    if site.request:
        details.append(line((cut(f"{INDENT}request {printable(site.request)}", width), DIM), width=width))
    if site.callback and site.culprit not in (None, site.callback):
        details.append(at_place(f"{INDENT}the loop was", site.callback, width))
    details += [
        at_place(f"{INDENT}of this, {part.cause}: {duration(part.seconds)}", part.culprit, width)
        for part in site.parts
        if part.seconds >= MIN_SHARE_OF_PART * site.stalled
    ]
    return details


def _remedy(site: Site, width: int) -> list[Text]:
    """Return what to do about stalls with this cause, as the report says it."""
    wrapped = wrap(f"-> {REMEDY_OF_CAUSE[site.cause]}", width - len(INDENT))
    return [line((INDENT + text, "green"), width=width) for text in wrapped]
