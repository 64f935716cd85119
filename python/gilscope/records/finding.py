"""What a result shows, and where a compared call should run, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that a result shows: a claim, the figures behind it, and what to do about it."""

    claim: str
    evidence: str
    remedy: str
    name: str = ""
    section: str = ""
    """Where the documentation explains it."""


@dataclass(frozen=True)
class Recommendation:
    """Where a compared call should run: ``where`` is the strategy's name, or empty if the call must change first."""

    where: str
    claim: str
    because: str
    """The figures that decided."""
    unless: tuple[str, ...]
    """Conditions that change the recommendation, each to follow an "if"."""
    findings: tuple[Finding, ...] = ()

    def changes(self) -> str:
        """Return the conditions in a sentence."""
        *others, last = [f"if {condition}" for condition in self.unless]
        return f"This changes {'; '.join([*others, f'or {last}' if others else last])}."
