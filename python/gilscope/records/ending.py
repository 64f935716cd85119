"""How a watched program ended, if it ended without giving its last figures."""

from __future__ import annotations

import signal
from typing import Literal

from gilscope.records.base import Amount, Record
from gilscope.records.stall import Frame

Kind = Literal["signal", "exit", "exec", "unknown", "runs", "hang"]
"""A signal ended the program; it left by ``os._exit``; it replaced itself by another; the system does not say; it runs on; it was
ended because an event loop hung."""


HANG_STATUS = 70
"""The exit status of a program that was ended because a loop hung: EX_SOFTWARE of sysexits.h."""


class UnfinishedStall(Record, frozen=True, kw_only=True):
    """A stall that was not over."""

    thread: str
    """The name of the loop's thread; empty if it is not known."""
    so_far: Amount
    culprit: Frame | None
    """``None`` if no stack was taken during the stall."""


class Ending(Record, frozen=True, kw_only=True):
    """The end of a program that could not give its last figures, or the moment of a report on a program that runs on."""

    kind: Kind
    signal: str | None = None
    status: int | None = None
    unseen: Amount = 0.0
    """Seconds between the figures and the end."""
    stalls: tuple[UnfinishedStall, ...] = ()


def signal_name(number: int) -> str:
    """Return the name of a signal, as in ``SIGTERM`` and ``SIGRTMIN+3``."""
    if signal.SIGRTMIN < number < signal.SIGRTMAX:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
