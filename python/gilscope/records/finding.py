"""One thing that a run shows."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that a run shows: what, the figures that show it, and what to do about it."""

    claim: str
    evidence: str
    remedy: str
    name: str = ""
    section: str = ""
    """Where the documentation explains it."""
