"""A check in progress: first what the callable does to the GIL, then how long another thread really waits for it.

The first phase runs at a lowered switch interval, at which a long hold cannot be mistaken for anything else. It shows why
a thread waits. The second runs at the program's own switch interval: what a verdict claims about a thread or an event loop is
measured there. Code that releases the GIL only briefly, again and again, yields in the first phase and hogs in the second.
"""

from __future__ import annotations

import threading
from time import process_time, sleep
from typing import TYPE_CHECKING, NamedTuple

from gilscope._core import LoweredSwitchInterval, monotonic
from gilscope.checks.calls import Calls, is_unlike
from gilscope.checks.conclusion import Conclusion
from gilscope.checks.gc_pauses import recorded_pauses
from gilscope.checks.phase import MEAN_GAP_SECONDS, Phase
from gilscope.checks.rule import MIN_REAL_WAITS, may_starve, surely_starves
from gilscope.checks.shares import Shares, longest_turn, shares_of, shares_of_real_waits
from gilscope.records.machine import machine
from gilscope.records.verdict_parts import Background

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from gilscope._core import Knock
    from gilscope.checks.knocks import SampledTime
    from gilscope.records.verdict import Verdict

MAX_TIMES_LONGER = 8
"""A check whose samples leave its verdict uncertain goes on for up to this many times its time."""
SHARE_OF_REAL_WAITS = 0.4
"""Of the time of a check: what is spent at the program's own switch interval."""
LOWERED_SWITCH_INTERVAL_SECONDS = 0.0001
"""During the first phase: a callable that yields does so within this time, which is far below a long hold."""
BACKGROUND_SECONDS = 0.03
"""How long the rest of the process is sampled before the calls."""
MAX_TIMES_FOR_SECOND_CALL = 10
"""A call that takes this many times the time of the check is not made again if that cannot change the verdict."""
MIN_SHARE_OF_FITTING_WAITS = 0.25
MIN_CALLS_OF_A_HOG = 3
"""A thread may be lucky in one call: its longest wait is taken from this many, if the time allows."""


class LastLook(NamedTuple):
    """What a check knew of a call that does not end, and the phase in which it sees what a thread really waits."""

    calls: Calls
    holds: SampledTime
    phase: Phase
    began: float


class Checking:
    """A check. Another thread may ask for its verdict so far."""

    def __init__(self, call: Callable[[], Any], name: str) -> None:
        self.call = call
        self.thread = threading.get_native_id()
        self.conclusion = Conclusion(name, machine())
        self.holds = Phase(call, thread=self.thread)
        self.waits: Phase | None = None
        self.again: Phase | None = None
        """The first phase, repeated because its only call was unlike the others. Until it has a call, the first one counts."""
        self.last_look: LastLook | None = None
        self._lowered = LoweredSwitchInterval(interval=LOWERED_SWITCH_INTERVAL_SECONDS)
        self._wait_file: tuple[int, float] | None = None

    def write_wait(self, file: int, period: float) -> None:
        """Have a thread that never attaches write the current wait to ``file``, in each phase."""
        self._wait_file = file, period
        self.holds.knocker.write_wait(file, period)

    def run(self, time: float) -> Verdict:
        """Make the calls for ``time`` seconds, and for longer if the samples leave the verdict uncertain."""
        if not self.conclusion.machine.gil:
            self.holds.calls.make(time)
            return self.conclusion.without_gil(self.holds.calls)
        with recorded_pauses() as self.conclusion.collections:
            self._sample_holds(time, self.holds)
            if self._may_wait_longer(time):
                self._sample_real_waits(time)
                first, others = self.holds.calls, self._real_calls()
                if time and first.made == 1 and is_unlike(first, others):
                    self.again = self._phase(real=False)
                    self._sample_holds(time, self.again)
                    self.conclusion.first_call = first.duration
                    self.holds, self.again = self.again, None
        return self._verdict()

    def verdict_so_far(self) -> Verdict | None:
        """Return the verdict on the calls that have ended, or on the one that does not end; ``None`` before any has run."""
        if self.waits is not None:
            calls, _ = self.waits.so_far()
            real = (calls, self.waits.sampled_so_far(calls)) if calls.spans else None
            repeated = self.again
            again = None if repeated is None else repeated.so_far()
            return self._verdict(real, again if again is not None and again[0].made else None)
        look = self.last_look
        if look is not None and self.holds.calls.ended == look.calls.ended:
            waits = look.phase.sampled_so_far(Calls(self.call, apart=True, spans=[(look.began, monotonic())]))
            return self.conclusion.verdict(look.calls, look.holds, waits, endless=not look.calls.made)
        calls, knocks = self.holds.so_far()
        if not calls.spans or calls.own_time <= 0:
            return None
        return self.conclusion.verdict(calls, calls.sampled_by(knocks), endless=not calls.made)

    def look_at_real_waits(self) -> Verdict | None:
        """Go on at the program's own switch interval if a call does not end. For another thread.

        Return the verdict so far: at that interval this thread may not get the GIL again. Return ``None`` if the calls end,
        or do not yield: then there is nothing to find.
        """
        calls, knocks = self.holds.so_far()
        if self.waits is not None or calls.made or calls.own_time <= 0:
            return None
        holds = calls.sampled_by(knocks)
        so_far = self.conclusion.verdict(calls, holds, endless=True)
        if shares_of(holds, mean_gap=MEAN_GAP_SECONDS).largest != "yields":
            return None
        self.holds.knocker.stop()
        phase = self._phase(real=True)
        phase.knocker.start()
        self.last_look = LastLook(calls, holds, phase, monotonic())
        self._lowered.__exit__(None, None, None)
        return so_far

    def end(self) -> None:
        """End the threads of the check."""
        for phase in (self.holds, self.waits, self.again, self.last_look and self.last_look.phase):
            if phase is not None:
                phase.knocker.stop()

    def _phase(self, *, real: bool) -> Phase:
        phase = Phase(self.call, thread=self.thread, real=real)
        if self._wait_file is not None:
            phase.knocker.write_wait(*self._wait_file)
        return phase

    def _sample_holds(self, time: float, holds: Phase) -> None:
        calls = holds.calls
        with self._lowered as self.conclusion.switch_interval, holds.knocker:
            self._sample_background(holds)
            calls.make(time * (1 - SHARE_OF_REAL_WAITS))
            while (more := min(calls.elapsed, time * MAX_TIMES_LONGER - calls.elapsed)) > 0 and not _shares(
                holds
            ).certain:
                calls.make(more)

    def _sample_real_waits(self, time: float) -> None:
        self.end()
        self.waits = self._phase(real=True)
        calls = self.waits.calls
        with self.waits.knocker:
            calls.make(time * SHARE_OF_REAL_WAITS)
            left = time * MAX_TIMES_LONGER - self.holds.calls.elapsed
            while (more := min(calls.elapsed, left - calls.elapsed)) > 0 and not self._waits_are_clear():
                calls.make(more / MIN_CALLS_OF_A_HOG)

    def _may_wait_longer(self, time: float) -> bool:
        """Return whether a second phase may show more than the first, for a call that takes very long."""
        calls = self.holds.calls
        if calls.elapsed <= time * MAX_TIMES_FOR_SECOND_CALL:
            return True
        shares = _shares(self.holds)
        one_hold = bool(shares.hogging) and shares.hogging[0].likely > 0.9 * calls.usual().duration
        return not (one_hold or (shares.released > 0.99 and not shares.hogging))

    def _waits_are_clear(self) -> bool:
        assert self.waits is not None  # noqa: S101
        real = shares_of_real_waits(self.waits.sampled(), switch_interval=self.conclusion.switch_interval)
        largest = _shares(self.holds).largest
        if not may_starve(real, largest):
            return largest != "yields" or self._sampled_often_enough()
        return surely_starves(real) and self.waits.calls.made >= MIN_CALLS_OF_A_HOG

    def _sampled_often_enough(self) -> bool:
        """Return whether the waits at the program's own interval are a good part of those that fit into the calls."""
        assert self.waits is not None  # noqa: S101
        waits = sum(wait.held for wait in self.waits.sampled().waits)
        fitting = self.waits.calls.elapsed / longest_turn(self.conclusion.switch_interval)
        return waits >= max(MIN_REAL_WAITS, MIN_SHARE_OF_FITTING_WAITS * fitting)

    def _sample_background(self, holds: Phase) -> None:
        begin, cpu = monotonic(), process_time()
        sleep(BACKGROUND_SECONDS)
        end = monotonic()
        self.conclusion.background_cpu = (process_time() - cpu) / (end - begin)
        self.conclusion.background = background(holds.knocker.knocks(), begin=begin, end=end)

    def _real_calls(self) -> Calls:
        assert self.waits is not None  # noqa: S101
        return self.waits.calls

    def _verdict(
        self,
        real: tuple[Calls, SampledTime] | None = None,
        again: tuple[Calls, Sequence[Knock]] | None = None,
    ) -> Verdict:
        """Return the verdict on the calls of the first phase.

        ``real`` are those of the second phase, and ``again`` those of the repeated first one, if it has not ended.
        """
        made_first, calls = self.holds.calls, self.holds.calls.usual()
        if made_first.first is not None and (calls is not made_first or again is not None):
            self.conclusion.first_call = made_first.first.duration
        calls, knocks = again or (calls, self.holds.knocker.knocks())
        if real is None and self.waits is not None:
            real = self.waits.calls, self.waits.sampled()
        made, waits = (0, None) if real is None else (real[0].made, real[1])
        return self.conclusion.verdict(calls, calls.sampled_by(knocks), waits, real_calls=made)


def _shares(holds: Phase) -> Shares:
    return shares_of(holds.sampled(), mean_gap=MEAN_GAP_SECONDS)


def background(knocks: Sequence[Knock], *, begin: float, end: float) -> Background:
    """Return what other threads did from ``begin`` to ``end``, while the calling thread slept.

    The time of the waits is known, and the knocks are a sample of the time between. A knock that found the calling thread
    awake is left out: it may have waited for that.
    """
    asleep = [
        knock
        for knock in knocks
        if begin <= knock.start
        and knock.start + knock.wait <= end
        and (knock.of_other_thread or knock.state in ("blocked", None))
    ]
    waits = [max(0.0, knock.wait - knock.queued - knock.own_queued) for knock in asleep if knock.held]
    if not asleep:
        return Background(held=0.0, longest=0.0)
    waited = sum(waits)
    between = max(0.0, end - begin - waited)
    held = (waited + between * len(waits) / len(asleep)) / (end - begin)
    return Background(held=held, longest=max(waits, default=0.0))
