"""Have a statement checked in a process of its own, whatever it does there."""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from gilscope.checks.shares import LONG_HOLD_SECONDS
from gilscope.checks.statement_child import Answer, Request
from gilscope.isolated import supervise
from gilscope.naming import quoted
from gilscope.records.machine import machine
from gilscope.records.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

GRACE = 20.0
"""Seconds for the child to speak of a statement that did not end but lets it have the GIL."""

SPEECHLESS = 1.0
"""A knock that has waited so long when the time is over has met a hog: the child will not speak."""


class StatementError(Exception):
    """The statement, or its setup, could not be run; the text is the user's own traceback, or what ended the process."""


class _NoWord(Exception):  # noqa: N818 - it is no error: it ends the child
    def __init__(self, waited: float | None) -> None:
        self.waited = waited


class _Look:
    """What is looked for while the child runs: whether its time is over and it will not speak."""

    def __init__(self, waiting: Path, timeout: float) -> None:
        self.waiting = waiting
        self.timeout = timeout
        self.told_first: float | None = None

    def __call__(self, elapsed: float) -> None:
        waited = _waited(self.waiting)
        if waited is not None and self.told_first is None:
            self.told_first = elapsed
        if elapsed < self.timeout:
            return
        # A wait that is not most of the time is one for a call that ends, as those before it did: the child will speak.
        if waited is None or waited >= max(SPEECHLESS, (elapsed - (self.told_first or 0.0)) / 2):
            raise _NoWord(waited)


def ask(
    statement: str, *, setup: str, time: float, timeout: float, say: Callable[[str], object] | None = None
) -> Verdict:
    """Return the verdict on ``statement``; one that hogs for more than ``timeout`` is ended, and that is the verdict.

    ``say`` is called with what the statement printed. Raises :class:`StatementError`.
    """
    with tempfile.TemporaryDirectory(prefix="gilscope-") as folder:
        waiting = Path(folder, "waiting")
        waiting.touch()
        request = Request(
            setup=setup, statement=statement, time=time, deadline=monotonic() + timeout, waiting=str(waiting)
        )

        try:
            outcome = supervise.run(
                "gilscope.checks.statement_child",
                msgspec.json.encode(request),
                timeout=timeout + GRACE,
                waiting=_Look(waiting, timeout),
            )
        except _NoWord as no_word:
            if no_word.waited is None:
                raise StatementError(f"the setup was not done after {timeout:g} s") from None
            return _endless(statement, no_word.waited)
        told = _waited(waiting) or 0.0
    if say is not None and outcome.output:
        say(outcome.output)
    if outcome.status == "timed out":
        if told > LONG_HOLD_SECONDS:
            return _endless(statement, told)
        raise StatementError(f"{quoted(statement.strip())} was not done after {timeout:g} s, nor could it be judged")
    if outcome.status == "died":
        raise StatementError(f"{quoted(statement.strip())} ended the process that it ran in: {outcome.reason}")
    answer = msgspec.json.decode(outcome.answer, type=Answer)
    if answer.verdict is None:
        raise StatementError(answer.traceback.rstrip())
    return answer.verdict


def _waited(file: Path) -> float | None:
    """Return what the child's native thread told last of the wait in progress; ``None`` before it told anything."""
    text = file.read_text()
    return float(text) if text.endswith("\n") else None


def _endless(statement: str, waited: float) -> Verdict:
    return Verdict(
        name=statement.strip(),
        kind="hogs",
        released=0.0,
        yielded=0.0,
        hogged=1.0,
        longest_hold=waited,
        long_holds=1,
        waits=None,
        samples=1,
        duration=waited,
        calls=0,
        cpu=1.0,
        background=None,
        endless=True,
        switch_interval=0.0,
        machine=machine(),
    )
