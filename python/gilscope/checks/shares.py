"""What happens to a thread that asks for the GIL at a random moment: the three shares of the checked thread's time."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from gilscope.checks.knocks import Heard, Wait

STRETCH = 0.001
"""A stretch longer than this that nothing interrupts makes a hog (seconds)."""

SURE = 2.5
"""So many standard errors apart, and the largest share is taken for the largest."""

FEW = 0.1
"""A standard error above this is too large for a word."""

UNCLEAR = 9
"""So many waits of one kind are unclear for one that is clear, at most: on an overloaded machine."""

Word = Literal["releases", "yields", "hogs"]


@dataclass(frozen=True)
class Shares:
    """The shares, which add up to 1, and what they rest on."""

    released: float
    yielded: float
    hogged: float
    word: Word
    """The largest share's."""
    sure: bool
    """Whether the word would be the same with other knocks."""
    hogging: tuple[Wait, ...]
    """The waits for the end of a stretch, the longest first."""
    yielding: tuple[Wait, ...]
    """The other waits that tell how long they were kept waiting, the longest first."""


def read(heard: Heard, *, mean_gap: float) -> Shares:
    """Read the shares from what the knocks told that were made every ``mean_gap`` on average."""
    # A stretch is met ln 2 mean gaps after its start, in the middle case: the rest of one of STRETCH is that much less.
    limit = STRETCH - mean_gap * log(2)
    held = [wait for wait in heard.waits if wait.held]
    hogging = [wait for wait in held if wait.least > limit]
    # It began after the knock before. If that was long ago, a short wait may be for the end of a long stretch.
    yielding = [wait for wait in held if wait.most <= limit and wait.before + wait.most <= STRETCH]
    known = {id(wait) for wait in (*hogging, *yielding)}
    unclear = [wait for wait in held if id(wait) not in known]
    # The unclear ones are likely what the clear ones are. The word must stand whatever they may be.
    likely = _parts(heard, hogging, yielding, unclear, _part(hogging, yielding))
    most_hogs, most_yields = (min(1.0, _hidden(clear) / max(len(unclear), 1)) for clear in (hogging, yielding))
    extremes = [_parts(heard, hogging, yielding, unclear, part) for part in (1 - most_yields, most_hogs)]
    word = _word(likely)
    largest, second, _ = sorted(likely, reverse=True)
    error = _error(heard, likely)
    return Shares(
        released=likely[0],
        yielded=likely[1],
        hogged=likely[2],
        word=word,
        sure=error < FEW and largest - second > SURE * error and all(_word(parts) == word for parts in extremes),
        hogging=tuple(sorted(hogging, key=lambda wait: -wait.likely)),
        yielding=tuple(sorted(yielding, key=lambda wait: -wait.likely)),
    )


Parts = tuple[float, float, float]


def _parts(heard: Heard, hogging: list[Wait], yielding: list[Wait], unclear: list[Wait], part: float) -> Parts:
    """Return the shares if ``part`` of the unclear waits were for the end of a stretch.

    The waits are time that is known; the time between them is shared out as the knocks found it (Poisson arrivals see
    time averages).
    """
    weight = sum(wait.weight for wait in heard.waits)
    scale = heard.between / weight if weight else 0.0
    times = (
        sum(wait.weight for wait in heard.waits if not wait.held) * scale,
        sum(wait.weight * scale + wait.likely for wait in yielding)
        + sum(wait.weight * scale + wait.least for wait in unclear) * (1 - part),
        sum(wait.weight * scale + wait.likely for wait in hogging)
        + sum(wait.weight * scale + wait.likely for wait in unclear) * part,
    )
    own = sum(times)
    if not own:
        return 0.0, 0.0, 0.0
    return times[0] / own, times[1] / own, times[2] / own


def _hidden(clear: list[Wait]) -> float:
    """Return how many of the unclear waits may be of the kind of which these are clear (95 %, as of a Poisson count)."""
    return UNCLEAR * (len(clear) + 3)


def _part(hogging: list[Wait], yielding: list[Wait]) -> float:
    hogged, yielded = (sum(wait.weight for wait in waits) for waits in (hogging, yielding))
    return hogged / (hogged + yielded) if hogged + yielded else 0.0


def _word(parts: Parts) -> Word:
    released, yielded, hogged = parts
    return "releases" if released >= max(yielded, hogged) else "yields" if yielded >= hogged else "hogs"


def _error(heard: Heard, parts: Parts) -> float:
    """Return the standard error of the largest share: of the time between the waits there is only a sample."""
    weight = sum(wait.weight for wait in heard.waits)
    total = heard.between + sum(wait.likely for wait in heard.waits if wait.held)
    if not total:
        return 1.0
    share = max(parts)
    spread = sqrt(max(share * (1 - share), 1 / (weight + 1)) / weight) if weight else 1.0
    return min(1.0, spread) * heard.between / total
